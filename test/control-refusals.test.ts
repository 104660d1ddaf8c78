import assert from "node:assert/strict";
import * as fc from "fast-check";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { allScopes } from "../src/control/api/scopes.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { createToken, revokeToken } from "../src/store/access/tokens.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { described, type JsonSchema } from "./helpers/described-bodies.ts";
import { databaseHash, engines, writable } from "./helpers/database.ts";
import { depth } from "./helpers/depth.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { type RawAnswer, rawRequest } from "./helpers/raw-request.ts";
import { scriptForm } from "./helpers/script-form.ts";

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly scope: string | null;
  readonly takes: "json" | "form" | "nothing";
  /** The schema of its JSON body, as far as there is one. */
  readonly body: JsonSchema;
}

/** It takes the token of an upload session. */
function isUpload({ path }: Pick<Operation, "path">): boolean {
  return path.startsWith("/accounts/{account_id}/workers/assets/upload");
}

/** Neither its path nor its body has anything to vary. */
function isAlwaysTheSame({ path, takes }: Operation): boolean {
  return takes === "nothing" && !path.replace("{account_id}", "").includes("{");
}

for (const [engine, open] of Object.entries(engines)) {
  describe(`what the API refuses, on ${engine}`, () => {
    let control: TestControl;
    let operations: readonly Operation[];
    const now = new Date();
    const tokens: Record<string, string> = {};

    before(async () => {
      control = await startControl({ open, offline: true, limits: { failedTries: 10_000 } });
      const leaf = await (await makeAuthority()).issue({ subject: "CN=there" });
      await control.call("POST", "/accounts/{account}/mtls_certificates", {
        name: "there",
        certificates: leaf.pem,
        private_key: leaf.key,
      });
      await control.call("PUT", "/accounts/{account}/workers/scripts/there", scriptForm());
      // The first request for the account's CA makes the CA.
      await control.call("GET", "/accounts/{account}/countersign/identity/authorities");
      operations = await readOperations(control.api);
      await control.store.write(async ({ db }) => {
        const other = await createAccount(db, { name: "Other", subdomain: "other", now });
        const common = { accountId: control.accountId, name: "t", email: "t@localhost", now };
        const lasting = { ...common, scopes: allScopes, expiresOn: null };
        const revoked = await createToken(db, lasting);
        await revokeToken(db, revoked.id, now);
        tokens["revoked"] = revoked.token;
        tokens["expired"] = (await createToken(db, { ...lasting, expiresOn: now })).token;
        tokens["scopeless"] = (await createToken(db, { ...lasting, scopes: [] })).token;
        tokens["other"] = (await createToken(db, { ...lasting, accountId: other.id })).token;
        return { value: null, audit: null };
      });
    });
    after(() => control[Symbol.asyncDispose]());

    const send = (
      { method, path }: Pick<Operation, "method" | "path">,
      token?: string,
      body?: string,
    ): Promise<RawAnswer> =>
      rawRequest({
        method,
        url: control.api + fill(path, control.accountId, () => "there"),
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        ...(body !== undefined && { body }),
      });

    it("what tells whether anything has changed sees the smallest change, the first one too", async () => {
      const { db } = control.store;
      const known = await databaseHash(control.store);
      const rename = (name: string): Promise<unknown> =>
        writable(control.store)
          .updateTable("accounts")
          .set({ name })
          .where("id", "=", control.accountId)
          .execute();
      const { name } = await db
        .selectFrom("accounts")
        .select("name")
        .where("id", "=", control.accountId)
        .executeTakeFirstOrThrow();
      await rename(`${name}.`);
      assert.notEqual(await databaseHash(control.store), known);
      await rename(name);
      assert.equal(await databaseHash(control.store), known);
    });

    it("the files of an upload are taken with the token of its session, and with no other", async () => {
      for (const operation of operations.filter(isUpload)) {
        for (const token of [undefined, "", "unknown", ...Object.values(tokens), control.token]) {
          const { status } = await send(operation, token);
          assert.equal(status, 401, `${operation.path} ${token}`);
        }
      }
    });

    it("every endpoint refuses a token that is missing, malformed, unknown, revoked or expired", async () => {
      const unchanged = await databaseHash(control.store);
      for (const operation of operations.filter((one) => !isUpload(one))) {
        const where = `${operation.method} ${operation.path}`;
        assert.deepEqual(codes(await send(operation)), [401, 9106], where);
        assert.deepEqual(codes(await send(operation, "")), [400, 6003], where);
        for (const token of ["unknown", tokens["revoked"], tokens["expired"]]) {
          assert.deepEqual(codes(await send(operation, token)), [401, 1000], where);
        }
      }
      assert.equal(await databaseHash(control.store), unchanged);
    });

    it("every endpoint refuses a token without its scope, and only then", async () => {
      const unchanged = await databaseHash(control.store);
      for (const operation of operations.filter((one) => !isUpload(one))) {
        const where = `${operation.method} ${operation.path}`;
        const answer = await send(operation, tokens["scopeless"]);
        const isOfPeople = operation.path.startsWith("/user/countersign/");
        if (isOfPeople) assert.ok(answer.status === 403 || answer.status === 400, where);
        else if (operation.scope === null) assert.equal(answer.status, 200, where);
        else {
          const expected = operation.scope === "user:read" ? 9109 : 10000;
          assert.deepEqual(codes(answer), [403, expected], where);
        }
      }
      assert.equal(await databaseHash(control.store), unchanged);
    });

    it("another account's id is refused exactly like one that does not exist", async () => {
      const unchanged = await databaseHash(control.store);
      for (const operation of operations.filter(
        (one) => one.path.includes("{account_id}") && !isUpload(one),
      )) {
        const others = await send(operation, tokens["other"]);
        assert.deepEqual(codes(others), [403, 10000], operation.path);
        const url = control.api + fill(operation.path, "0".repeat(32), () => "there");
        const headers = { authorization: `Bearer ${tokens["other"]}` };
        const none = await rawRequest({ method: operation.method, url, headers });
        assert.equal(none.text, others.text);
      }
      assert.equal(await databaseHash(control.store), unchanged);
    });

    it("an unknown path is 404 and a wrong method 405, in the envelope", async () => {
      const unknown = await send({ method: "GET", path: "/accounts/{account_id}/nothing" });
      assert.deepEqual(codes(unknown), [404, 7003]);
      assert.deepEqual(codes(await send({ method: "PUT", path: "/user" })), [405, 10405]);
      assert.deepEqual(codes(await send({ method: "OPTIONS", path: "/user" })), [405, 10405]);
    });

    for (const announced of [true, false]) {
      it(`a body of 200 MiB is refused with 413 before it is read, its length ${announced ? "" : "not "}announced`, async () => {
        const size = 200 * 1024 * 1024;
        for (const [method, path, limit] of [
          ["PUT", "/accounts/{account_id}/workers/scripts/big", 64],
          ["POST", "/accounts/{account_id}/mtls_certificates", 1],
        ] as const) {
          let produced = 0;
          const body = Readable.from(chunks(size, (bytes) => (produced += bytes)));
          const answer = await rawRequest({
            method,
            url: control.api + fill(path, control.accountId, () => ""),
            headers: {
              authorization: `Bearer ${control.token}`,
              "content-type": "multipart/form-data; boundary=x",
              ...(announced && { "content-length": String(size) }),
            },
            body,
          });
          body.destroy();
          assert.deepEqual(codes(answer), [413, 10027]);
          const most = (announced ? 8 : limit + 8) * 1024 * 1024;
          assert.ok(produced <= most, `${produced / 1024 / 1024} MiB were taken`);
        }
      });
    }

    it("no listing returns a key or a secret", async () => {
      const secret = "the-secret-value";
      await control.call("PUT", "/accounts/{account}/workers/scripts/there/secrets", {
        name: "SECRET",
        text: secret,
        type: "secret_text",
      });
      const { result } = await control.call("GET", "/accounts/{account}/mtls_certificates");
      const versions = await control.call(
        "GET",
        "/accounts/{account}/workers/scripts/there/versions",
      );
      const ids: Record<string, string> = {
        certificate_id: result[0].id,
        version_id: versions.result.items[0].id,
      };
      let read = 0;
      for (const { method, path } of operations.filter((operation) => operation.method === "GET")) {
        const { text, status } = await rawRequest({
          method,
          url: control.api + fill(path, control.accountId, (name) => ids[name] ?? "there"),
          headers: { authorization: `Bearer ${control.token}` },
        });
        if (status === 200) read += 1;
        assert.doesNotMatch(text, /PRIVATE KEY|v1\.[0-9a-f]{8}\./, path);
        assert.ok(!text.includes(secret) && !text.includes(control.token), path);
      }
      assert.ok(read > 20, `only ${read} were read`);
    });

    it("a text with U+0000 is kept, or refused by name where the database keeps none", async () => {
      const { status, text } = await rawRequest({
        method: "POST",
        url: `${control.api}/accounts/${control.accountId}/storage/kv/namespaces`,
        headers: { authorization: `Bearer ${control.token}`, "content-type": "application/json" },
        body: String.raw`{"title":"a\u0000b"}`,
      });
      if (engine === "SQLite") assert.notEqual(status, 500, text);
      else assert.match(text, /"failure":"text_has_nul"/);
    });

    it("whatever is sent, the answer is an envelope with a code, and a refusal changes nothing", async (t) => {
      t.diagnostic(`${operations.length} endpoints`);
      let last = await databaseHash(control.store);
      for (const operation of operations) {
        await fc.assert(
          fc.asyncProperty(segments, bodiesFor(operation), async (segment, body) => {
            const answer = await rawRequest({
              method: operation.method,
              url: control.api + fill(operation.path, control.accountId, () => segment),
              headers: {
                authorization: `Bearer ${control.token}`,
                ...(body.type !== undefined && { "content-type": body.type }),
              },
              ...(operation.takes !== "nothing" && { body: body.content }),
            });
            const known = last;
            last = await databaseHash(control.store);
            if (answer.status === 200 && !answer.type.startsWith("application/json")) return;
            const envelope = assertEnvelope(answer);
            assert.notEqual(answer.status, 500, answer.text);
            // A change that storage did not make is undone, and the audit log records both.
            if (!envelope.success && answer.status < 500) assert.equal(last, known);
          }),
          {
            numRuns: isAlwaysTheSame(operation)
              ? 1
              : engine === "SQLite"
                ? depth(12, 100)
                : depth(3, 20),
          },
        );
      }
      const said = control.log.filter((line) => !outside.some((known) => line.includes(known)));
      assert.deepEqual(said, []);
    });
  });
}

/** Entries that are not about a call's change. Nothing is fetched here, and nothing stored. */
const outside = [
  "could not be fetched",
  "the ACME server could not be asked",
  "what was deleted is still on the disk",
];

const nasty = [
  "there", "a%2Fb", "..%2f..%2fetc", "%2e%2e", "%", "%zz", "%00", "%F0%9F%92%A9", "x".repeat(5000),
  "__proto__", "constructor", "'--", "%22", "{}", "0", "null", "-", "A",
]; // prettier-ignore

const segments = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ unit: "binary-ascii", minLength: 1 }).map((text) => encodeURIComponent(text)),
);

const json = fc.oneof(
  fc.jsonValue(),
  fc.record(
    {
      name: fc.oneof(fc.jsonValue(), fc.constant("x".repeat(100_000))),
      text: fc.jsonValue(),
      type: fc.constantFrom("secret_text", "plain_text", 7),
      certificates: fc.oneof(fc.jsonValue(), fc.constant("-----BEGIN CERTIFICATE-----\nAAAA\n")),
      private_key: fc.jsonValue(),
      ca: fc.oneof(fc.boolean(), fc.jsonValue()),
      secrets: fc.jsonValue(),
      versions: fc.array(fc.record({ version_id: fc.string(), percentage: fc.float() })),
      env: fc.dictionary(fc.string(), fc.jsonValue()),
      pattern: fc.string(),
      script: fc.constantFrom("there", "nowhere", ""),
      subdomain: fc.jsonValue(),
      enabled: fc.jsonValue(),
      origins: fc.array(fc.record({ hostname: fc.string() })),
    },
    { requiredKeys: [] },
  ),
);

function bodiesFor({ body }: Operation): fc.Arbitrary<SentBody> {
  const near = described(body).map((value) => ({
    type: "application/json",
    content: JSON.stringify(value) ?? "",
  }));
  return fc.oneof(near, bodies);
}

interface SentBody {
  readonly type: string | undefined;
  readonly content: string | Uint8Array;
}

const bodies: fc.Arbitrary<SentBody> = fc.oneof(
  json.map((value) => ({ type: "application/json", content: JSON.stringify(value) })),
  fc
    .array(fc.record({ pattern: fc.string(), hostname: fc.string(), cron: fc.string() }))
    .map((value) => ({ type: undefined, content: JSON.stringify(value) })),
  fc.string().map((content) => ({ type: "text/plain", content })),
  fc.uint8Array().map((content) => ({ type: "multipart/form-data; boundary=x", content })),
  fc.uint8Array().map((content) => ({ type: "multipart/form-data", content })),
  fc.tuple(fc.oneof(json, fc.string()), fc.string(), fc.string()).map(([meta, type, content]) => ({
    type: "multipart/form-data; boundary=x",
    content: [
      '--x\r\ncontent-disposition: form-data; name="metadata"\r\n\r\n',
      typeof meta === "string" ? meta : JSON.stringify({ main_module: "m", bindings: meta }),
      '\r\n--x\r\ncontent-disposition: form-data; name="m"; filename="m"\r\n',
      `content-type: ${type.replaceAll(/[^ -~]/g, "")}\r\n\r\n${content}\r\n--x--\r\n`,
    ].join(""),
  })),
);

async function readOperations(api: string): Promise<Operation[]> {
  const document = (await (await fetch(`${api}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, DocumentedOperation>>;
  };
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security, requestBody }]): Operation => {
      const types = Object.keys(requestBody?.content ?? {});
      const takes = types.includes("multipart/form-data") ? "form" : "json";
      return {
        method: method.toUpperCase(),
        path,
        scope: security[0]?.api_token[0] ?? null,
        takes: types.length === 0 ? "nothing" : takes,
        body: requestBody?.content["application/json"]?.schema ?? {},
      };
    }),
  );
  assert.ok(operations.length > 40, "the document lists the endpoints");
  return operations;
}

interface DocumentedOperation {
  readonly security: readonly { readonly api_token: readonly string[] }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  };
}

function fill(path: string, accountId: string, segment: (name: string) => string): string {
  return path
    .replace("{account_id}", accountId)
    .replaceAll(/\{(\w+)\}/g, (_, name: string) => segment(name));
}

function assertEnvelope({ text, type }: RawAnswer): {
  success: boolean;
  errors: { code: number }[];
} {
  assert.match(type, /^application\/json/);
  const envelope = JSON.parse(text) as {
    success: boolean;
    errors: { code: number; message: string }[];
    messages: unknown[];
  };
  assert.ok("result" in envelope && Array.isArray(envelope.messages));
  assert.equal(envelope.success, envelope.errors.length === 0);
  for (const { code, message } of envelope.errors) {
    assert.ok(Number.isInteger(code) && code > 0);
    assert.ok(message.length > 10 && message.length < 2000, message);
    assert.doesNotMatch(message, /\.ts:\d|\n\s+at |node:|SQLITE|TypeError/);
  }
  return envelope;
}

function codes(answer: RawAnswer): [number, number | undefined] {
  return [answer.status, assertEnvelope(answer).errors[0]?.code];
}

function* chunks(size: number, produced: (bytes: number) => void): Generator<Uint8Array> {
  const chunk = new Uint8Array(64 * 1024);
  for (let sent = 0; sent < size; sent += chunk.byteLength) {
    produced(chunk.byteLength);
    yield chunk;
  }
}
