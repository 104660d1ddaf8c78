/**
 * Judges the cases of C2SP/x509-limbo as the ingress judges certificates of clients, over TLS.
 * `npm run test:limbo -- limbo.json`: their repository has the file. It ends with 1 where one is judged in
 * another way than docs/client-certificates.md explains.
 */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { connect, createServer, type TLSSocket } from "node:tls";
import { Challenges } from "../src/ingress/challenges.ts";
import { ClientHandshakes } from "../src/ingress/tls/client-handshakes.ts";
import { Clients } from "../src/ingress/clients.ts";
import { Hosts } from "../src/ingress/tls/hosts.ts";
import { LocalLeaves } from "../src/ingress/tls/local-leaves.ts";
import { Proofs } from "../src/ingress/tls/proofs.ts";
import { TLS_OPTIONS } from "../src/ingress/tls/tls-options.ts";
import { Zones } from "../src/ingress/zones.ts";
import { makeAuthority } from "../test/helpers/pki.ts";

/** What is read of a case. */
interface Case {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly peer_certificate_key: string | null;
  readonly validation_time: string | null;
  readonly max_chain_depth: number | null;
  readonly validation_kind: "CLIENT" | "SERVER";
  readonly crls: readonly string[];
  readonly expected_result: "SUCCESS" | "FAILURE";
}

/** Judged in another way, on purpose or as OpenSSL does. */
const EXPLAINED: Readonly<Record<string, string>> = {
  "rfc5280::eku::ee-wrong-eku": "the leaf is for clients, and the case asks for a server",
  "webpki::eku::ee-without-eku":
    "a leaf that names no purpose is good for all (RFC 5280, 4.2.1.12)",
  "webpki::v1-cert": "a leaf of version 1 counts: OpenSSL 3.0 makes them by default",
  "rfc5280::nc::nc-permits-invalid-email-san":
    "OpenSSL compares what stands after the last @ of a mailbox",
  "rfc5280::nc::nc-forbids-same-chain-ica": "OpenSSL follows one of several chains",
};

const HOST = "limbo.example";
const hosts = new Hosts();
const clients = new Clients();
const own = await (await makeAuthority()).issue({ subject: "CN=server", dns: [HOST] });
const server = createServer({ ...TLS_OPTIONS, cert: own.chain, key: own.key });
new ClientHandshakes({
  hosts,
  zones: new Zones(),
  narrow: () => server,
  tls: TLS_OPTIONS,
  leaves: new LocalLeaves(
    () => Promise.resolve(null),
    () => false,
  ),
  proofs: new Proofs(new Challenges(), TLS_OPTIONS),
  byDefault: () => ({ chain: own.chain, key: own.key }),
  done: (socket, entry) => {
    clients.began(socket, entry);
    const { refusal } = clients.judge(socket, entry);
    // Node has the code as a string here, whatever its types say.
    const reason = socket.authorizationError as unknown as string | null;
    socket.on("error", () => {}).end(refusal === null ? "SUCCESS" : `FAILURE ${reason ?? refusal}`);
  },
}).divert(server);

/** SUCCESS, or FAILURE and why. Null: no client gets so far as to present it. */
async function judged(one: Case, key: string): Promise<string | null> {
  const clientsOf = { mode: "required", revoked: [], forward: false } as const;
  const rules = { ...clientsOf, authorities: one.trusted_certs };
  hosts.update("limbo", [{ host: HOST, certificate: null, clients: rules }]);
  let socket: TLSSocket;
  try {
    socket = connect({
      host: "127.0.0.1",
      port: (server.address() as AddressInfo).port,
      servername: HOST,
      ca: own.pem,
      rejectUnauthorized: false,
      cert: [one.peer_certificate, ...one.untrusted_intermediates].join("\n"),
      key,
      // It presents what a careful client would not.
      ciphers: "DEFAULT@SECLEVEL=0",
    });
  } catch {
    return null;
  }
  try {
    return (await textOf(socket)) || "FAILURE handshake";
  } catch (error) {
    return `FAILURE ${(error as Error).message}`;
  }
}

/** Why a case says nothing of clients here. Null: it does. */
function leftOut(one: Case): string | null {
  if (one.peer_certificate_key === null) return "has no key, so that no client can present it";
  if (one.crls.length > 0) return "is of revocation lists, which are judged apart";
  if (one.max_chain_depth !== null) return "sets a length of chains of its own";
  const { validFromDate, validToDate } = new X509Certificate(one.peer_certificate);
  const now = new Date();
  const isNow = validFromDate <= now && now <= validToDate;
  return one.validation_time !== null && !isNow ? "is of another time" : null;
}

async function run(file: string): Promise<number> {
  const { testcases } = JSON.parse(readFileSync(file, "utf8")) as { testcases: readonly Case[] };
  const counts = new Map<string, number>();
  const count = (kind: string): void => void counts.set(kind, (counts.get(kind) ?? 0) + 1);
  let unexplained = 0;
  for (const one of testcases) {
    const why = leftOut(one);
    if (why !== null) {
      count(`left out: ${why}`);
      continue;
    }
    const verdict = await judged(one, one.peer_certificate_key!);
    if (verdict === null) {
      count("left out: OpenSSL does not present it");
      continue;
    }
    // Most are leaves for servers: refused as such, whatever else is wrong with them.
    if (verdict === "FAILURE INVALID_PURPOSE" && one.validation_kind === "SERVER") {
      count("refused because the leaf is for servers, which tells no more");
    } else if (verdict.startsWith(one.expected_result)) {
      count(`as expected: ${one.expected_result}`);
    } else if (one.id in EXPLAINED) {
      count("otherwise, and explained");
      console.log(`${one.id}: ${verdict}. ${EXPLAINED[one.id]}`);
    } else {
      unexplained += 1;
      console.log(`${one.id}: expected ${one.expected_result}, and it is ${verdict}`);
    }
  }
  for (const [kind, number] of counts) console.log(`${String(number).padStart(4)} ${kind}`);
  console.log(`${String(unexplained).padStart(4)} otherwise, and not explained`);
  return unexplained;
}

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error("npm run test:limbo -- PATH/limbo.json");
  process.exitCode = 2;
} else {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.exitCode = (await run(file)) === 0 ? 0 : 1;
  server.close();
}
