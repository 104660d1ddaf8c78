import assert from "node:assert/strict";
import { test } from "node:test";
import { databasePasswordPlace } from "./places.ts";
import { Keyring } from "./seal.ts";
import { hideTexts, MOST_TEXTS, SecretTexts } from "./secret-texts.ts";

const keyring = new Keyring(Buffer.alloc(32, 7));
const place = databasePasswordPlace("a", "d");

test("texts of secrets and passwords become placeholders, which a schema judges as it would judge the texts", () => {
  const long = "x".repeat(5_000);
  const { fields, sealed } = hideTexts({
    origin: { password: "p", host: "h" },
    secrets: { A: { type: "secret_text", text: long }, B: { type: "secret_text", text: "a\nb" } },
    text: "stays",
    password: "nobody's",
  });
  const shown = JSON.parse(JSON.stringify(fields)) as {
    origin: { password: string };
    secrets: Record<string, { text: string }>;
  };
  assert.deepEqual(
    { ...shown, origin: 0, secrets: 0 },
    { origin: 0, secrets: 0, text: "stays", password: "nobody's" },
  );
  assert.equal(shown.secrets["A"]!.text.length, 5_000);
  assert.match(shown.secrets["B"]!.text, /\n$/);
  assert.equal(sealed.length, 3);
  using texts = new SecretTexts(sealed);
  const opened = (word: string): string => keyring.unseal(place, texts.seal(keyring, place, word));
  assert.equal(opened(shown.origin.password), "p");
  assert.equal(opened(shown.secrets["A"]!.text), long);
  assert.equal(opened("what nobody hid"), "what nobody hid");
});

test("the key of an external account is a word, and its id is not", () => {
  const { fields, sealed } = hideTexts({ external_account: { kid: "k", hmac_key: "c2VjcmV0" } });
  assert.match(JSON.stringify(fields), /"kid":"k"/);
  assert.doesNotMatch(JSON.stringify(fields), /c2VjcmV0/);
  assert.equal(sealed.length, 1);
  assert.deepEqual(hideTexts({ constructor: { name: "n" } }).sealed, []);
});

test("a word of one request is a text like others in another", () => {
  const first = hideTexts({ origin: { password: "one" } });
  const word = passwordIn(first.fields);
  const second = hideTexts({ origin: { password: word } });
  const texts = new SecretTexts(second.sealed);
  const other = passwordIn(second.fields);
  assert.notEqual(other, word);
  assert.equal(keyring.unseal(place, texts.seal(keyring, place, other)), word);
  assert.equal(keyring.unseal(place, texts.seal(keyring, place, word)), word);
});

test("what a Worker's own JSON says of secrets and passwords is not touched", () => {
  const json = { password: "p", type: "secret_text", text: "t", origin: { password: "q" } };
  const own = { bindings: [{ name: "J", type: "json", json }], vars: { env: json } };
  assert.deepEqual(hideTexts(own), { fields: own, sealed: [] });
});

test("more than may be is not sealed, and not shown either", () => {
  const secret = { type: "secret_text", text: "hunter2" };
  const many = Array.from({ length: MOST_TEXTS + 1 }, (_, at) => ({ ...secret, name: `S${at}` }));
  const named = Object.fromEntries(many.map((one) => [one.name, secret]));
  const { fields, sealed } = hideTexts({ bindings: many, secrets: named });
  assert.equal(sealed.length, 0);
  assert.doesNotMatch(JSON.stringify(fields), /hunter2/);
  assert.equal(hideTexts({ bindings: many.slice(1) }).sealed.length, MOST_TEXTS);
});

test("odd JSON stays as it is", () => {
  const deep = `${"[".repeat(3_000)}${"]".repeat(3_000)}`;
  for (const text of ["null", "1", `"secret_text"`, `{"__proto__":{"a":1}}`, deep]) {
    assert.equal(JSON.stringify(hideTexts(JSON.parse(text)).fields), text);
  }
});

test("once the request is answered, its words open nothing", () => {
  const { fields, sealed } = hideTexts({ origin: { password: "p" } });
  const texts = new SecretTexts(sealed);
  texts[Symbol.dispose]();
  assert.throws(() => texts.seal(keyring, place, passwordIn(fields)));
});

function passwordIn(fields: unknown): string {
  return (fields as { readonly origin: { readonly password: string } }).origin.password;
}
