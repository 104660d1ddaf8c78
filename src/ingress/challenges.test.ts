import assert from "node:assert/strict";
import { test } from "node:test";
import { Challenges } from "./challenges.ts";

const PATH = "/.well-known/acme-challenge/";
const one = { host: "a.example", token: "token", keyAuthorization: "token.print" };

test("a challenge is answered at its own host and path alone, until it is taken away", () => {
  const challenges = new Challenges();
  challenges.update("account", [one]);
  challenges.update("other", []);
  assert.equal(challenges.answer("a.example", `${PATH}token`), "token.print");
  for (const [host, path] of [
    ["b.example", `${PATH}token`],
    ["a.example", `${PATH}other`],
    ["a.example", PATH],
    ["a.example", "/token"],
    ["", `${PATH}a.example/token`],
  ] as const) {
    assert.equal(challenges.answer(host, path), null, `${host} ${path}`);
  }
  challenges.update("account", []);
  assert.equal(challenges.answer("a.example", `${PATH}token`), null);
});
