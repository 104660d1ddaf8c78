import assert from "node:assert/strict";
import { test } from "node:test";
import type { Credential } from "../certificates/credential.ts";
import type { Failure } from "../failures/failures.ts";
import { Cuts } from "./cuts.ts";
import type { Databases } from "./database/databases.ts";
import type { OriginPool } from "./origin/pool.ts";
import type { Pools } from "./origin/pools.ts";

type Of = Pick<Credential, "accountId" | "certificateId" | "version" | "notAfter">;

const credentials: readonly Of[] = [
  { accountId: "a", certificateId: "c", version: 1, notAfter: 1_000 },
  { accountId: "a", certificateId: "c", version: 2, notAfter: 2_000 },
  { accountId: "a", certificateId: "d", version: 1, notAfter: 3_000 },
  { accountId: "b", certificateId: "c", version: 1, notAfter: 4_000 },
];

/** What is cut of one connection for each credential: pools' with their failures, databases' with why. */
function world(): { cuts: Cuts; failures: Failure[]; databases: string[] } {
  const failures: Failure[] = [];
  const databases: string[] = [];
  const pools: Pick<Pools, "cut"> = {
    cut: (chosen, failure) => {
      for (const credential of credentials as readonly Credential[]) {
        const pool = { scope: { credential, origin: "https://o.example" } } as OriginPool;
        if (chosen(credential)) failures.push(failure(pool, credential));
      }
    },
  };
  const other: Pick<Databases, "cut"> = {
    cut: (chosen, what) => {
      for (const credential of credentials as readonly Credential[]) {
        if (chosen(credential)) databases.push(`${nameOf(credential)} ${what(credential)}`);
      }
    },
  };
  return { cuts: new Cuts(pools as Pools, other as Databases), failures, databases };
}

function nameOf({ accountId, certificateId, version }: Of): string {
  return `${accountId}/${certificateId}/${version}`;
}

test("a certificate is cut in all its versions, and no other, nor another account's", () => {
  const { cuts, failures, databases } = world();
  cuts.certificate({ accountId: "a", certificateId: "c" }, "was deleted");
  assert.deepEqual(
    failures.map(({ code, message, facts }) => ({ code, message, facts })),
    [1, 2].map((version) => ({
      code: "origin_connection_cut",
      message: "the connection to https://o.example was cut: certificate c was deleted",
      facts: { certificateId: "c", version, origin: "https://o.example" },
    })),
  );
  assert.deepEqual(databases, ["a/c/1 was deleted", "a/c/2 was deleted"]);
});

test("each revoked version is reported by its number, and the others stay in use", () => {
  const { cuts, failures, databases } = world();
  cuts.versions({ accountId: "a", certificateId: "c" }, [1, 7]);
  assert.deepEqual(databases, ["a/c/1 had its version 1 revoked"]);
  assert.match(failures[0]!.message, /certificate c had its version 1 revoked$/);
  assert.equal(failures.length, 1);
});

test("a connection ends at the moment at which its certificate does", () => {
  const { cuts, failures, databases } = world();
  cuts.expired(999);
  assert.deepEqual(databases, []);
  cuts.expired(2_000);
  assert.deepEqual(databases, [
    "a/c/1 expired at 1970-01-01T00:00:01Z",
    "a/c/2 expired at 1970-01-01T00:00:02Z",
  ]);
  assert.equal(failures.length, 2);
});
