import assert from "node:assert/strict";
import { it } from "node:test";
import { handlersOf, hasNone, type Handlers } from "./handlers.ts";

function of(source: string): Handlers {
  return handlersOf({ name: "index.js", type: "esm", content: Buffer.from(source) });
}

it("handlers are read from the forms that people and bundlers write", () => {
  for (const source of [
    "export default { fetch() {} }",
    "export default { async fetch(request, env) {}, other: 1 };",
    "var index_default = { fetch() {} };\nexport {\n  index_default as default\n};",
    "const a={fetch:h},b=2;function h(){}export{a as default};",
    'export default { "fetch": () => {} }',
    "export default class extends W { fetch() {} }",
    "class X extends WorkerEntrypoint { fetch() {} }\nexport default X;",
    "const handler = { fetch() {} }; handler.x = 1; export default handler;",
  ]) {
    assert.deepEqual(of(source).handlers, ["fetch"], source);
  }
  const more = of("export default { fetch() {}, scheduled() {} }; export class D extends O {}");
  assert.deepEqual(more.handlers, ["fetch", "scheduled"]);
});

it("a module without any handler is found out", () => {
  for (const source of [
    "",
    "console.log('hello')",
    "export default {}",
    "export default { };\n// fetch",
    "export default { fech() {} }",
    "var index_default = {};\nexport {\n  index_default as default\n};",
    "const handler = {}; export default handler;",
    "export default null; export const x = 1",
    "export const config = { a: 1 }",
  ]) {
    assert.equal(hasNone(of(source)), true, source);
  }
});

it("where the text does not tell, nothing is claimed", () => {
  for (const source of [
    "export default app; const app = new Hono();",
    "const app = {}; app.fetch = () => {}; export default app;",
    "export default { ...handlers }",
    "export default { [name]() {} }",
    "export default Object.assign({}, x)",
    "export default wrap({})",
    'export { default } from "./x.js"',
    'export * from "./x.js"; export default {}',
    "export default {}; export class Api extends WorkerEntrypoint { hello() {} }",
    "export default {}; export { A } from './a.js'",
    "class A extends B {}\nexport { A };",
    "export default function () {}",
    "import x from './x.js'; export default x;",
    "export default {", // does not parse
  ]) {
    assert.equal(hasNone(of(source)), false, source);
  }
});

it("a module with ever so many exports, or with huge ones, takes a known time", () => {
  const filler = `//${" a".repeat(1_000_000)}\n`;
  const names = Array.from({ length: 20_000 }, (_, n) => `a${n}`);
  const many = `let ${names.map((name) => `${name} = {}`).join(", ")};\n${filler}export { ${names.join(", ")} };`;
  const huge = `class A { ${"a(){}".repeat(400_000)} }\n${names.map((name) => `export { A as ${name} };`).join("\n")}`;
  for (const source of [many, huge]) {
    const began = performance.now();
    const found = of(`export default { fetch() {} };\n${source}`);
    assert.deepEqual(found, { handlers: ["fetch"] });
    assert.ok(performance.now() - began < 5_000, `${performance.now() - began} ms`);
  }
});
