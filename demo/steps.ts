import picocolors from "picocolors";
import { formatDuration } from "../src/terminal/format.ts";

let number = 0;

/** Prints what it does, does it, and prints how long it took, or that it failed. */
export async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  number++;
  console.log(`\n${picocolors.bold(`${number}. ${title}`)}`);
  const started = performance.now();
  try {
    const result = await work();
    const took = formatDuration(performance.now() - started);
    console.log(`   ${picocolors.green("✔")} ${picocolors.dim(took)}`);
    return result;
  } catch (error) {
    console.log(`   ${picocolors.red("✘")} step ${number} failed: ${title}`);
    throw error;
  }
}

export function say(text: string): void {
  for (const line of text.trimEnd().split("\n")) console.log(`   ${line}`);
}
