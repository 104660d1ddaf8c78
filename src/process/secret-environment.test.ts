import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { tellSecrets, withSecrets } from "./secret-environment.ts";

test("a program's environment has every byte of its secrets but NUL, and the secrets are wiped", async () => {
  // All bytes: shells have some that mean something to themselves.
  const every = Buffer.from(Array.from({ length: 255 }, (_, at) => at + 1));
  const quotes = Buffer.from(`it's "$(id)" \`id\` \\ ''\n\n`);
  const values = { S_0: every, S_1: quotes, S_2: Buffer.alloc(0), S_3: Buffer.from("é₁😀") };
  const wanted = Object.entries(values).map(([name, value]) => [name, value.toString("hex")]);
  const print = `cat /proc/self/environ`;
  const secrets = Object.entries(values);
  const [file, ...args] = withSecrets(secrets, ["/bin/sh", "-c", print]);
  const stdio = ["ignore", "pipe", "inherit", null, null, null, null, "pipe"] as const;
  const child = spawn(file, args, {
    env: {},
    stdio: stdio.map((one) => one ?? "ignore"),
  });
  tellSecrets((child.stdio as readonly unknown[])[7] as Writable, secrets);
  const environ = Buffer.from(await text(child.stdout!.setEncoding("latin1")), "latin1");
  const found = new Map<string, string>();
  for (const line of environ.toString("latin1").split("\0")) {
    const at = line.indexOf("=");
    found.set(line.slice(0, at), Buffer.from(line.slice(at + 1), "latin1").toString("hex"));
  }
  assert.deepEqual(
    wanted.map(([name]) => [name, found.get(name!)]),
    wanted,
  );
  assert.ok(secrets.every(([, value]) => value.every((byte) => byte === 0)));
});

test("without secrets a program starts as it is", () => {
  assert.deepEqual(withSecrets([], ["true", "a"]), ["true", "a"]);
});
