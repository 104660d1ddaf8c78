import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { pino } from "pino";
import { intakeHere } from "../src/certificates/upload-text.ts";
import { firstRow } from "../src/control/routing/host-certificate-taking.ts";
import { zoneOf } from "../src/control/routing/zones.ts";
import { acmeKeyPlace } from "../src/keys/places.ts";
import { AcmeRenewal } from "../src/platform/acme-renewal.ts";
import { acmeAccountAt, putAcmeAccount } from "../src/store/hosts/acme.ts";
import { listHostCertificates, putHostCertificate } from "../src/store/hosts/host-certificates.ts";
import { type Envelope, startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

const HOST = "api.acme.example";
let control: TestControl;
let authority: TestAuthority;

before(async () => {
  control = await startControl();
  authority = await makeAuthority("A private CA's own");
});
after(() => control[Symbol.asyncDispose]());

/** A TLS server in place of an ACME server. */
async function serve(
  listener: RequestListener,
): Promise<AsyncDisposable & { readonly url: string }> {
  const { chain, key } = await authority.issue({ subject: "CN=acme", ips: ["127.0.0.1"] });
  const server = createServer({ cert: chain, key }, listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function order(directory: string, more: object = {}, host = HOST): Promise<Envelope> {
  const path = `/accounts/${control.accountId}/countersign/hosts/${encodeURIComponent(host)}/acme`;
  const body = { directory, authority: authority.pem, accept_terms: true, ...more };
  return control.call("PUT", path, body);
}

function codeOf({ errors }: Envelope): unknown {
  return [errors[0]?.code, errors[0]?.message];
}

test("a wildcard is refused, and the refusal says that it takes a record in the DNS", async () => {
  const answer = await order("https://127.0.0.1:1/dir", {}, "*.acme.example");
  assert.equal(answer.status, 400);
  assert.match(String(codeOf(answer)), /^7000860,.*DNS-01/);
});

test("an ACME server is asked over https:// only", async () => {
  assert.equal((await order("http://127.0.0.1:1/dir")).status, 400);
});

test("a server of another CA is not believed", async () => {
  let requests = 0;
  await using server = await serve((_, response) => {
    requests += 1;
    response.writeHead(500).end();
  });
  const other = await makeAuthority("Another");
  assert.match(String(codeOf(await order(server.url, { authority: other.pem }))), /^7000862,/);
  assert.equal(requests, 0);
  await order(server.url);
  assert.equal(requests, 1, "the same server is asked once its CA is named");
});

test("terms that were not accepted are named in plain text", async () => {
  await using server = await serve((_, response) => {
    const meta = { termsOfService: "https://ca.example/terms\u001b[31m" };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ newNonce: "x", newAccount: "x", newOrder: "x", meta }));
  });
  const answer = await order(server.url, { accept_terms: false });
  assert.equal(answer.errors[0]?.code, 7000861);
  assert.match(answer.errors[0]?.message ?? "", /https:\/\/ca\.example\/terms\?\[31m\. /);
});

test("what a hostile server answers ends its order, and changes nothing", async () => {
  const json = { "content-type": "application/json" };
  const hostile: Readonly<Record<string, RequestListener>> = {
    "an endless directory": (_, response) => {
      response.writeHead(200, json);
      const more = (): void => {
        while (response.write("[".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    },
    "no JSON": (_, response) => void response.writeHead(200, json).end("{"),
    "no object": (_, response) => void response.writeHead(200, json).end("[[null]]"),
    "no URLs": (_, response) => {
      response.writeHead(200, json).end(JSON.stringify({ newNonce: 7, newAccount: {}, meta: 1 }));
    },
    "an address of the cloud's": (_, response) => {
      const url = "https://169.254.169.254/latest";
      const directory = { newNonce: url, newAccount: url, newOrder: url };
      response.writeHead(200, json).end(JSON.stringify(directory));
    },
    "a redirect": (_, response) => void response.writeHead(302, { location: "/other" }).end(),
    "what is told to nobody": (_, response) => void response.writeHead(403, json).end('"a secret"'),
  };
  for (const [name, listener] of Object.entries(hostile)) {
    await using server = await serve(listener);
    const answer = await order(server.url);
    assert.equal(answer.status, 502, `${name}: ${JSON.stringify(answer.errors)}`);
    assert.equal(answer.errors[0]?.code, 7000862, name);
    assert.doesNotMatch(JSON.stringify(answer), /a secret|169\.254/, name);
  }
  assert.deepEqual(await listHostCertificates(control.store.db, control.accountId), []);
  assert.doesNotMatch(control.log.join(""), /PRIVATE KEY/);
});

test("the server's problem is reported, on one line", async () => {
  await using server = await serve((_, response) => {
    const type = "urn:ietf:params:acme:error:rateLimited";
    response.writeHead(429, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type, detail: `too many\n\u001b${"x".repeat(5_000)}` }));
  });
  const answer = await order(server.url);
  assert.equal(answer.errors[0]?.code, 7000863);
  assert.match(answer.errors[0]?.message ?? "", /rateLimited: too many\?\?x{100,400}\. /);
});

test("an account whose opening nobody heard of is opened with the same key, one that is refused with another", async () => {
  const keys: string[] = [];
  const stored: boolean[] = [];
  let answer: "none" | "refusal" = "none";
  await using server = await serve((request, response) => {
    const url = `https://${request.headers.host}`;
    response.setHeader("replay-nonce", "bm9uY2U");
    const open = async (): Promise<void> => {
      const sent = JSON.parse(Buffer.concat(await request.toArray()).toString());
      const [head, asked] = [sent.protected, sent.payload].map((text) =>
        JSON.parse(Buffer.from(text, "base64url").toString()),
      );
      if (asked.onlyReturnExisting !== true) {
        keys.push(head.jwk.x);
        stored.push(
          (await acmeAccountAt(control.store.db, control.accountId, server.url)) !== null,
        );
        if (answer === "none") {
          request.socket.destroy();
          return;
        }
      }
      const type = "urn:ietf:params:acme:error:accountDoesNotExist";
      response.writeHead(400, { "content-type": "application/problem+json" });
      response.end(JSON.stringify({ type, detail: "no" }));
    };
    if (request.url === "/account") void open();
    else if (request.url === "/nonce") response.end();
    else {
      response.setHeader("content-type", "application/json");
      const directory = { newNonce: `${url}/nonce`, newAccount: `${url}/account` };
      response.end(JSON.stringify({ ...directory, newOrder: `${url}/order` }));
    }
  });
  assert.match(String(codeOf(await order(server.url))), /^7000862,/);
  assert.match(String(codeOf(await order(server.url))), /^7000862,/);
  assert.deepEqual(keys, [keys[0], keys[0]], "the first may have opened it");
  answer = "refusal";
  const other = `${server.url}/other`;
  assert.match(String(codeOf(await order(other))), /^7000863,/);
  assert.match(String(codeOf(await order(other))), /^7000863,/);
  assert.notEqual(keys[3], keys[2]);
  assert.deepEqual(stored.slice(0, 2), [true, true]);
  assert.equal(await acmeAccountAt(control.store.db, control.accountId, other), null);
});

test("a renewal that a killed platform began is begun again a quarter of an hour later, not at each start", async () => {
  const { store, keyring, edge, outbound, accountId } = control;
  let asked = 0;
  const silent = Promise.withResolvers<void>();
  await using server = await serve(() => {
    asked += 1;
    silent.resolve();
  });
  const now = new Date();
  const on = now.toISOString();
  await store.housekeep(async ({ db }) => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const { url: directory } = server;
    const id = randomUUID();
    const sealedKey = keyring.seal(acmeKeyPlace(accountId, id), pem);
    const account = { id, accountId, directory, email: null, authority: authority.pem };
    await putAcmeAccount(db, { ...account, sealedKey, createdOn: on });
    const { chain } = await authority.issue({ subject: "CN=due" });
    const row = firstRow(
      { id: randomUUID(), accountId, zone: zoneOf(accountId, "due.acme.example") },
      { hosts: ["due.acme.example"], chain, sealedKey, notAfter: on, modifiedOn: on },
    );
    const renewed = { source: "acme", acmeAccountId: id, acmeNextOn: on } as const;
    await putHostCertificate(db, { ...row, ...renewed });
  });
  let time = now.getTime();
  const clock = (): Date => new Date(time);
  const platform = (): AcmeRenewal => {
    const log = pino({ level: "silent" });
    const parts = { store, keyring, edge, outbound, clock, intake: intakeHere, log };
    return AcmeRenewal.idle(parts);
  };
  const killed = platform().look();
  await silent.promise;
  await platform().look();
  time += 14 * 60_000;
  await platform().look();
  assert.equal(asked, 1);
  time += 60_000;
  const again = platform().look();
  await until(() => asked === 2);
  await server[Symbol.asyncDispose]();
  await Promise.all([killed, again]);
});

test("one account begins twenty orders at once, and no more", async () => {
  const codes: number[] = [];
  for (let count = 0; count < 21; count += 1) {
    codes.push((await order("https://127.0.0.1:1/dir", {}, "*.acme.example")).status);
  }
  assert.equal(codes.at(-1), 429);
});
