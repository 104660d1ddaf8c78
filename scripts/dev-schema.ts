import { readFile, writeFile } from "node:fs/promises";
import { devFileSchema } from "../src/dev/file.ts";

/** Writes the JSON Schema of countersign.json. With `--check`, only says whether it is current. */
const path = new URL("../assets/countersign.schema.json", import.meta.url);
const text = `${JSON.stringify(devFileSchema(), null, 2)}\n`;
if (process.argv.includes("--check")) {
  const current = JSON.parse(await readFile(path, "utf8")) as unknown;
  if (JSON.stringify(current) !== JSON.stringify(JSON.parse(text))) {
    console.error("assets/countersign.schema.json is not current: npm run docs");
    process.exitCode = 1;
  }
} else {
  await writeFile(path, text);
}
