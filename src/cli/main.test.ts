import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { main } from "./main.ts";

test("with --json, a command line that is not understood is told on stdout as a failure", async () => {
  for (const [argv, said] of [
    [["identity", "issue", "--csr", "a", "--days", "9999"], /'--days <n>' argument '9999'/],
    [["identity", "issue"], /'--csr <file>' not specified/],
    [["certificate", "list", "--nope"], /unknown option '--nope'/],
    [["strat"], /unknown command 'strat'/],
    [["certificate"], /no command is named|unknown option/],
    [["policy", "explain", "orders"], /name a caller/],
  ] as const) {
    const { status, stdout } = await run(...argv, "--json");
    assert.equal(status, 2, argv.join(" "));
    const { error } = JSON.parse(stdout);
    assert.equal(error.code, "usage");
    assert.match(error.message, said);
  }
  const person = await run("strat");
  assert.deepEqual([person.status, person.stdout], [2, ""]);
  assert.equal((await run("certificate", "--help")).status, 0);
});

async function run(...argv: readonly string[]) {
  const io = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  io.stderr.resume();
  const stdout = text(io.stdout);
  const status = await main(argv, { ...io, env: {}, cwd: "/" });
  io.stdout.end();
  return { status, stdout: await stdout };
}
