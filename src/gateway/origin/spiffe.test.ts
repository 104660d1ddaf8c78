import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { before, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import {
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from "../../../test/helpers/pki.ts";
import { spiffeError } from "./spiffe.ts";

const ID = "spiffe://acme.example/ns/prod/api";
let root: TestAuthority;
let intermediate: TestAuthority;
let elsewhere: TestAuthority;
/** Another CA of the same name. */
let twin: TestAuthority;

before(async () => {
  [root, elsewhere, twin] = await Promise.all([
    makeAuthority(),
    makeAuthority("Elsewhere"),
    makeAuthority(),
  ]);
  intermediate = await root.intermediate("Intermediate");
});

/** What is said of a server that shows this certificate. Null: it is one that is expected. */
async function said(
  { chain: cert, key }: TestCertificate,
  ...expected: (readonly [{ readonly pem: string }, ...string[]])[]
): Promise<string | null> {
  const server = createServer({ cert, key }, (socket) => socket.on("error", () => {}));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const tls: TLSSocket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  try {
    await once(tls, "secureConnect");
    const error = spiffeError(
      tls,
      expected.map(([{ pem }, ...ids]) => ({ authority: pem, ids })),
    );
    if (error !== null) assert.equal((error as { code?: string }).code, "ERR_SPIFFE_ID");
    return error?.message ?? null;
  } finally {
    tls.destroy();
    server.close();
  }
}

test("a server with an ID that is expected of its CA is one, directly or through others", async () => {
  for (const authority of [root, intermediate]) {
    const server = await authority.issue({ subject: "CN=x", uris: [ID] });
    assert.equal(await said(server, [root, ID]), null);
    assert.equal(await said(server, [root, "spiffe://acme.example/ns/*/api"]), null);
    assert.equal(await said(server, [elsewhere, ID], [root, "spiffe://other/**", ID]), null);
  }
  const through = await intermediate.issue({ subject: "CN=x", uris: [ID] });
  assert.equal(await said(through, [intermediate, ID]), null);
  assert.equal(await said(through, [through, ID]), null, "a server's own certificate is an anchor");
});

test("one with another ID is none, and says who it is, with as much of that as helps", async () => {
  const server = await root.issue({ subject: "CN=x", uris: [ID] });
  assert.equal(await said(server, [root, "spiffe://acme.example/ns/prod/web"]), `it is ${ID}`);
  assert.equal(await said(server), `it is ${ID}`);
  const long = `spiffe://acme.example/${"x".repeat(300)}`;
  const wordy = await root.issue({ subject: "CN=x", uris: [long] });
  assert.equal(await said(wordy, [root, ID]), `it is ${long.slice(0, 200)}`);
  assert.equal(
    await said(wordy, [elsewhere, long]),
    `it is ${long.slice(0, 200)}, from a CA that it is not expected from`,
  );
});

test("an ID that is expected of another CA is none of this one's", async () => {
  const server = await intermediate.issue({ subject: "CN=x", uris: [ID] });
  const direct = await root.issue({ subject: "CN=x", uris: [ID] });
  const other = `it is ${ID}, from a CA that it is not expected from`;
  for (const one of [server, direct]) {
    for (const authority of [elsewhere, twin]) {
      assert.equal(await said(one, [authority, ID]), other);
    }
  }
  assert.equal(await said(server, [elsewhere, ID], [root, "spiffe://acme.example/web"]), other);
});

test("a certificate without a URI, with two URIs, or with a URI that is not a SPIFFE ID has no SPIFFE ID", async () => {
  for (const uris of [[], [ID, "spiffe://acme.example/web"], ["https://acme.example/"], [ID, ID]]) {
    const server = await root.issue({ subject: "CN=x", uris });
    assert.equal(await said(server, [root, "**", ID]), "it has no SPIFFE ID, or more than one URI");
  }
});

test("a server that shows no certificate is none", () => {
  const shown = { getPeerX509Certificate: () => undefined } as Partial<TLSSocket> as TLSSocket;
  assert.match(spiffeError(shown, [])!.message, /^it has no SPIFFE ID/);
});
