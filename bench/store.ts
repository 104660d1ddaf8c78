/**
 * A large store of certificates: how long a list and an upload take over HTTP, with 1,000 certificates in each of 100
 * accounts, and how many uploads and pages of a list a platform answers a second. `node bench/store.ts [--quick] [--json
 * FILE] [accounts] [certificates]`.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { judgedHere } from "../src/certificates/upload-text.ts";
import { parseUpload } from "../src/certificates/parse.ts";
import { versionRow } from "../src/control/certificates/certificate-intake.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { insertCertificate } from "../src/store/certificates/certificates.ts";
import { startControl, type TestControl } from "../test/helpers/control.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { atLeast } from "./aims.ts";
import { stopSignal } from "./lab.ts";
import { median } from "./measure.ts";
import { finishPart } from "./parts.ts";
import { type Rate, storeRates } from "./store-rates.ts";

const { values: options, positionals } = parseArgs({
  options: { quick: { type: "boolean", default: false }, json: { type: "string" } },
  allowPositionals: true,
});
const sizes = positionals.length > 0 ? positionals.map(Number) : options.quick ? [10, 200] : [];
const [accounts = 100, certificates = 1000] = sizes;
const LISTS = 50;
const UPLOADS = 100;

const authority = await makeAuthority();
await using control = await startControl({ limits: { certificates: certificates + UPLOADS } });
await fill(control);

const leaves = await Promise.all(
  Array.from({ length: UPLOADS }, (_, number) =>
    authority.issue({ subject: `CN=bench ${number}` }),
  ),
);
const fsync = await sample(UPLOADS, async () => flushOnce());
const upload = await sample(UPLOADS, async (index) => {
  const { chain, key } = leaves[index]!;
  const body = { certificates: chain, private_key: key, ca: false };
  const { status } = await control.call("POST", "/accounts/{account}/mtls_certificates", body);
  if (status !== 200) throw new Error(`an upload was answered with ${status}`);
});

print("accounts × certificates", `${accounts} × ${certificates}`);
print("load of the machine", loadavg()[0]!.toFixed(1));
show(
  "list of one account (aim: p50 < 50 ms)",
  await sample(LISTS, () => get("/mtls_certificates")),
);
show("list with everything known", await sample(LISTS, () => get("/countersign/certificates")));
show("fsync alone", fsync);
show("upload (aim: p50 < 20 ms beyond the fsync)", upload);
const rates = await storeRates({
  ...(options.quick ? { uploads: 200, seconds: 3 } : { uploads: 900, seconds: 10 }),
  signal: stopSignal(),
});
for (const [what, { perSecond, cpuMs }] of Object.entries(rates) as [string, Rate][]) {
  const cpu = cpuMs === null ? "" : `, CPU ${cpuMs.toFixed(2)} ms each`;
  print(`${what} a second, 16 at a time`, `${perSecond.toFixed(0)}${cpu}`);
}
const { uploads, pages, barePages } = rates;
await finishPart(
  [
    atLeast("uploads of certificates a second", 1_000, uploads.perSecond, {
      peers: [["fsync", 1_000 / median(fsync.map(({ wall }) => wall))]],
    }),
    atLeast("pages of a list of certificates a second", 10_000, pages.perSecond, {
      limit: ["a server in Node that answers the same bytes", barePages.perSecond],
    }),
  ],
  options,
);

/** All rows have the same certificate under different hashes, which makes no difference to the cost. */
async function fill({ store, keyring, accountId }: TestControl): Promise<void> {
  const now = new Date();
  const leaf = await authority.issue({ subject: "CN=stored" });
  const parsed = parseUpload({
    certificates: leaf.chain,
    privateKey: leaf.key,
    ca: false,
    now,
  });
  for (let account = 0; account < accounts; account++) {
    await store.housekeep(async ({ db }) => {
      const name = `account ${account}`;
      const owner =
        account === 0 ? accountId : (await createAccount(db, { name, subdomain: null, now })).id;
      for (let number = 0; number < certificates; number++) {
        const id = randomUUID();
        const place = { accountId: owner, certificateId: id, version: 1 };
        const contentHash = createHash("sha256").update(randomBytes(16)).digest("hex");
        const at = now.toISOString();
        await insertCertificate(
          db,
          {
            id,
            accountId: owner,
            name: `certificate ${number}`,
            ca: 0,
            activeVersion: 1,
            allowedHosts: null,
            tied: 0,
            uploadedOn: at,
            updatedOn: at,
          },
          { ...(await versionRow(keyring, place, judgedHere(parsed), now)), contentHash },
        );
      }
    });
  }
}

async function get(path: string): Promise<void> {
  const response = await fetch(`${control.api}/accounts/${control.accountId}${path}`, {
    headers: { authorization: `Bearer ${control.token}` },
  });
  const { byteLength } = await response.arrayBuffer();
  if (byteLength < certificates * 100) throw new Error(`${path} is ${byteLength} bytes only`);
}

function flushOnce(): void {
  const file = openSync(join(control.databasePath, "..", "fsync"), "w");
  try {
    writeSync(file, randomBytes(4096));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

interface Sample {
  readonly wall: number;
  /** CPU of the whole process, client and server, because wall time means little on a busy machine. */
  readonly cpu: number;
}

async function sample(
  count: number,
  work: (index: number) => Promise<void>,
): Promise<readonly Sample[]> {
  const all: Sample[] = [];
  for (let index = 0; index < count; index++) {
    const [began, before] = [performance.now(), process.cpuUsage()];
    await work(index);
    const { user, system } = process.cpuUsage(before);
    all.push({ wall: performance.now() - began, cpu: (user + system) / 1000 });
  }
  return all;
}

function show(name: string, samples: readonly Sample[]): void {
  const of = (percent: number, kind: keyof Sample): string => {
    const sorted = samples.map((one) => one[kind]).toSorted((a, b) => a - b);
    return sorted[Math.floor(((sorted.length - 1) * percent) / 100)]!.toFixed(1);
  };
  print(name, `p50 ${of(50, "wall")} ms, p99 ${of(99, "wall")} ms, CPU p50 ${of(50, "cpu")} ms`);
}

function print(name: string, value: string): void {
  console.log(`${name.padEnd(44)} ${value}`);
}
