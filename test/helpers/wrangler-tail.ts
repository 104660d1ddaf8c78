import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestPlatform } from "./platform.ts";

const wrangler = join(
  dirname(fileURLToPath(import.meta.resolve("wrangler/package.json"))),
  "bin/wrangler.js",
);

/** Unmodified `wrangler tail`, until it is ended. */
export function wranglerTail(
  { dataFolder, ready }: Pick<TestPlatform, "dataFolder" | "ready">,
  args: readonly string[],
): { output(): string; end(): Promise<void> } {
  const child = spawn(process.execPath, [wrangler, "tail", ...args], {
    cwd: dataFolder,
    env: {
      PATH: process.env["PATH"],
      HOME: dataFolder,
      WRANGLER_SEND_METRICS: "false",
      NO_COLOR: "1",
      CLOUDFLARE_API_BASE_URL: ready.api,
      CLOUDFLARE_API_TOKEN: ready.token,
      CLOUDFLARE_ACCOUNT_ID: ready.accountId,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(child, "close");
  return {
    output: () => output,
    end: async () => {
      child.kill("SIGINT");
      await ended;
    },
  };
}
