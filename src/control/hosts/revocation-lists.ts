import { z } from "@hono/zod-openapi";
import { randomUUID } from "node:crypto";
import { LONGEST_LIST } from "../../certificates/signed-revocation-list.ts";
import { Failure } from "../../failures/failures.ts";
import { Throttle } from "../../network/throttle.ts";
import {
  LONGEST_LIST_INTERVAL,
  deleteRevocationList,
  findRevocationList,
  listRevocationLists,
} from "../../store/hosts/revocation-lists.ts";
import type { RevocationListRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { fetchList, listWarning, takeList } from "./revocation-list-taking.ts";

const wanted = z
  .object({
    /** PEM, or base64 of DER. */
    list: z
      .string()
      .max(2 * LONGEST_LIST)
      .optional(),
    url: z
      .url({ protocol: /^https?$/ })
      .max(2048)
      .refine((url) => !/^https?:\/\/[^/]*@/i.test(url), "has a user name or password")
      .optional(),
    /** Seconds between two fetches of the URL. */
    interval: z.int().min(60).max(LONGEST_LIST_INTERVAL).default(3600),
  })
  .refine(
    (one) => (one.list === undefined) !== (one.url === undefined),
    "needs `list` or `url`, one of them",
  );

/** Lists that an account adds: twenty at once, then one every six seconds, because each is fetched and read. */
const ADDED = { burst: 20, everyMs: 6_000 };

/** Revocation lists that CAs publish. They count at every host of the account. */
export function revocationListEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock, log } = context;
  const added = new Throttle(ADDED);
  const path = "/accounts/{account_id}/countersign/revocation_lists";
  return [
    endpoint(
      { method: "get", path, summary: "Revocation lists of CAs", scope: "ssl_certs:read" },
      async ({ caller: { accountId } }) =>
        list(
          (await listRevocationLists(store.db, accountId)).map((row) => shownList(row, clock())),
        ),
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Take a CA's revocation list, and follow it where it has a URL",
        scope: "ssl_certs:write",
        body: wanted,
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        added.assertFree(accountId);
        added.count(accountId);
        const { url = null, interval } = body;
        const all = await listRevocationLists(store.db, accountId);
        const bytes = url === null ? bytesOf(body.list ?? "") : await fetched(url, caller);
        const by = { actor: actorOf(caller), isNew: true };
        const known = url === null ? null : all.find((one) => one.url === url);
        const id = known?.id ?? randomUUID();
        const row = await takeList(context, { id, accountId, url, interval }, bytes, by);
        return { result: shownList(row, clock()) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{list_id}`,
        summary: "Forget a revocation list: what it revoked counts again",
        scope: "ssl_certs:write",
      },
      async ({ caller, params }) => {
        const { accountId } = caller;
        const id = await applyChange({ store, edge }, async ({ db, changed }) => {
          const row = await findRevocationList(db, accountId, params["list_id"] ?? "");
          if (row === null) throw new Failure("revocation_list_unknown");
          await deleteRevocationList(db, row.id);
          await changed({ kind: "hosts", accountId });
          return {
            value: row.id,
            audit: {
              by: actorOf(caller),
              action: "client.revocation_list.delete",
              accountId,
              resource: { type: "revocation_list", id: row.id, name: row.url },
            },
          };
        });
        return { result: { id } };
      },
    ),
  ];

  async function fetched(url: string, { accountId }: Caller): Promise<Uint8Array> {
    return fetchList(url, { outbound: context.outbound.of(accountId) }).catch((error: unknown) => {
      if (error instanceof Failure) log.warn({ url, err: error.cause }, error.message);
      throw error;
    });
  }
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, text.includes("-----BEGIN") ? "latin1" : "base64");
}

/** Also used when a host is shown. */
export function shownList(row: RevocationListRow, now: Date): Record<string, unknown> {
  return {
    id: row.id,
    url: row.url,
    interval: row.url === null ? null : row.interval,
    issuer: row.issuer.replaceAll("\n", ", "),
    authority_fingerprint: row.authority,
    entries: row.entries,
    this_update: row.thisUpdate,
    next_update: row.nextUpdate,
    taken_on: row.takenOn,
    next_check_on: row.nextCheckOn,
    warning: listWarning(row, now),
    created_on: row.createdOn,
  };
}
