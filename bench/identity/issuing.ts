import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRequest } from "../../src/identity/authority.ts";
import { Identities } from "../../src/identity/identities.ts";
import { Keyring } from "../../src/keys/seal.ts";
import { createAccount } from "../../src/store/access/accounts.ts";
import { openStore } from "../../src/store/store.ts";
import { median } from "../measure.ts";

export interface IssuingRate {
  /** Issued identities per second, requested as Workers do: all at once, from a control plane over SQLite. */
  readonly perSecond: number;
  readonly requestsPerSecond: number;
}

const WORKERS = 200;

/** Measures signing and storing by a control plane, and making keys and requests by a gateway, each in this process. */
export async function issuingRate(rounds: number): Promise<IssuingRate> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-bench-"));
  try {
    await using store = await openStore(join(folder, "countersign.db"));
    const account = await store.housekeep(({ db }) =>
      createAccount(db, { name: "Acme", subdomain: null, now: new Date() }),
    );
    const keyring = new Keyring(randomBytes(32));
    store.sealWith(keyring);
    const identities = new Identities({
      store,
      keyring,
      clock: () => new Date(),
      trustDomain: "example.org",
    });
    const issued: number[] = [];
    const requested: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const names = Array.from({ length: WORKERS }, (_, n) => `worker-${n}`);
      const [csrs, making] = await timed(() =>
        Promise.all(names.map((name) => makeRequest(name, account.id))),
      );
      const [, signing] = await timed(() =>
        Promise.all(
          names.map((scriptName, n) =>
            identities.issueIdentity({ accountId: account.id, scriptName }, csrs[n]!.csr),
          ),
        ),
      );
      // The first round makes the CA.
      if (round === 0) continue;
      requested.push(WORKERS / making);
      issued.push(WORKERS / signing);
    }
    return { perSecond: median(issued), requestsPerSecond: median(requested) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const begun = performance.now();
  const result = await work();
  return [result, (performance.now() - begun) / 1_000];
}
