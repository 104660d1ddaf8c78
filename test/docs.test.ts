import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { createProgram } from "../src/cli/program.ts";

const root = join(import.meta.dirname, "..");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];
const io = { stdout: process.stdout, stderr: process.stderr, env: {}, cwd: root };
const program = await createProgram(io, null);
/** Commands whose further options are wrangler's, and are passed on unchanged. */
const passesOn = new Set(["deploy"]);

/** Command lines in fenced blocks and in `code`, with their places. */
function commandLines(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8");
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].flatMap(([, block]) =>
    block!.replaceAll("\\\n", " ").split("\n"),
  );
  const spans = [...text.matchAll(/`(countersign [^`\n]+)`/g)].map(([, span]) => span!);
  return [...blocks, ...spans]
    .flatMap((line) => line.split(/ #|\||&&|\$\(|\)"/))
    .map((line) => line.trim().replace(/^npx /, ""))
    .filter((line) => /^countersign [a-z]/.test(line));
}

function assertKnown(line: string, page: string): void {
  let command: Command = program;
  const words = line
    .replaceAll(/"[^"]*"|'[^']*'/g, "VALUE")
    .split(/\s+/)
    .slice(1);
  for (const word of words) {
    if (word.startsWith("--")) {
      const [flag] = word.replace(/[^\w=-].*$/, "").split("=");
      const known = ["--help", ...command.options.flatMap(({ long }) => (long ? [long] : []))];
      const passed = passesOn.has(command.name());
      assert.ok(known.includes(flag!) || passed, `${page}: "${line}": ${flag} is no option`);
      continue;
    }
    if (word === "…") continue;
    const child = command.commands.find((one) => one.name() === word || one.alias() === word);
    const isName = command.registeredArguments.length > 0 || command.options.length > 0;
    if (child) command = child;
    else if (command.commands.length > 0 && !isName) {
      assert.fail(`${page}: "${line}": there is no command "${word}"`);
    }
  }
  assert.notEqual(command, program, `${page}: "${line}" names no command`);
}

for (const page of pages) {
  const lines = commandLines(page);
  test(`${relative(root, join(root, page))} names only commands and options that there are`, () => {
    for (const line of lines) assertKnown(line, page);
  });
}

test("every link between pages leads to a file", () => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      const path = join(root, page, "..", target!);
      assert.ok(existsSync(path), `${page}: ${target}`);
    }
  }
});
