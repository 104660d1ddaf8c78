import assert from "node:assert/strict";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { violations } from "../scripts/rooms.ts";

const src = join(import.meta.dirname, "../src");

test("imports between rooms go one way, and no files make a circle", () => {
  assert.deepEqual(violations(src), []);
});

suite("a violation that is planted is found", () => {
  const planted: readonly (readonly [what: string, file: string, line: string, said: RegExp])[] = [
    ["upwards", "keys/seal.ts", 'import "../edge/feed.ts";', /keys may not import from edge/],
    ["beside it", "store/store.ts", 'import "../process/kept.ts";', /store may not .* process/],
    [
      "of a type",
      "network/ranges.ts",
      'import type { Dial } from "../gateway/origin/dial.ts";',
      /network may not import from gateway/,
    ],
    [
      "of a type, inline",
      "keys/seal.ts",
      'export type X = import("../contract/edge.ts").Edge;',
      /keys may not import from contract/,
    ],
    ["at run time", "ingress/cf.ts", 'await import("../edge/feed.ts");', /ingress may not .* edge/],
    ["by export", "terminal/io.ts", 'export * from "../failures/failures.ts";', /terminal may not/],
    [
      "from the control plane to the gateway",
      "control/api/body.ts",
      'import "../../gateway/origin/dial.ts";',
      /control may not import from gateway/,
    ],
    [
      "upwards between wings",
      "control/api/body.ts",
      'import "../access/tokens.ts";',
      /the wing control\/api may not/,
    ],
    [
      "from a wing to what builds all wings",
      "control/access/tokens.ts",
      'import "../app.ts";',
      /the wing control\/access may not/,
    ],
    ["of a test", "src.test.ts", 'import "../test/x.ts"; import "../bench/x.ts";', /bench/],
    ["of no file", "keys/seal.ts", 'import "./nothing.ts";', /no such file/],
    [
      "in a circle, by a type",
      "failures/entry.ts",
      'import type { Failure } from "./failures.ts";',
      /a circle of imports: .*failures\/entry\.ts/,
    ],
  ];
  const copy = copyOfSource();
  after(() => copy[Symbol.dispose]());
  for (const [what, file, line, said] of planted) {
    test(`an import ${what}`, () => {
      const at = join(copy.path, file);
      const before = existsSync(at) ? readFileSync(at) : null;
      appendFileSync(at, `\n${line}\n`);
      assert.match(violations(copy.path).join("\n"), said);
      if (before === null) rmSync(at);
      else writeFileSync(at, before);
    });
  }

  test("a room without a row, and a row without a room", () => {
    assert.deepEqual(violations(copy.path), [], "nothing is left of what was planted before");
    mkdirSync(join(copy.path, "annex"));
    writeFileSync(join(copy.path, "annex/one.ts"), "export {};\n");
    rmSync(join(copy.path, "terminal"), { recursive: true });
    const said = violations(copy.path).join("\n");
    assert.match(said, /annex\/ has no row/);
    assert.match(said, /terminal\/ does not exist/);
  });
});

function copyOfSource(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "rooms-"));
  cpSync(src, path, { recursive: true });
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}
