import { Hono } from "hono";
import { z } from "zod";
import { isCidr, type RequestIp } from "../../network/ranges.ts";
import { ownerOfData } from "../../control/api/auth.ts";
import { isScope, notAScope, tokenScopes } from "../../control/api/scopes.ts";
import { Failure } from "../../failures/failures.ts";
import { listAccounts } from "../../store/access/accounts.ts";
import type { Audit, AuditAction } from "../../store/access/audit.ts";
import type { TokenRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import {
  createToken,
  findTokenById,
  listTokens,
  requestIpOf,
  revokeToken,
  rollToken,
} from "../../store/access/tokens.ts";
import { type AccessContext, accountNamed } from "./context.ts";

const cidrs = z.array(z.string().refine(isCidr, "is not an IP address or a CIDR"));
const newToken = z.object({
  name: z.string().trim().min(1).max(120),
  account: z.string().max(200).optional(),
  role: z.enum(["admin", "deployer", "viewer"]).optional(),
  scopes: z
    .array(z.string().refine(isScope, { error: ({ input }) => notAScope(String(input)) }))
    .optional(),
  /** Null: the token does not expire. */
  seconds: z.int().min(60).max(315_360_000).nullable(),
  requestIp: z.object({ in: cidrs.optional(), not_in: cidrs.optional() }).optional(),
});

export interface ShownToken {
  readonly id: string;
  readonly name: string;
  readonly accountId: string;
  readonly email: string;
  readonly scopes: readonly string[];
  readonly createdOn: string;
  readonly expiresOn: string | null;
  readonly requestIp: RequestIp | null;
  readonly status: "active" | "disabled" | "expired";
}

/** API tokens of every account, for the owner of the data folder. */
export function tokensApp({ store, clock }: AccessContext): Hono {
  return new Hono()
    .get("/tokens", async (c) => {
      const accounts = await listAccounts(store.db);
      const rows = await Promise.all(accounts.map(({ id }) => listTokens(store.db, id)));
      const live = rows.flat().filter(({ revokedOn }) => revokedOn === null);
      return c.json(live.map((row) => shown(row, clock())));
    })
    .post("/tokens", async (c) => {
      const body = newToken.parse(await c.req.json());
      const now = clock();
      const { value } = await store.write(async ({ db }) => {
        const account = await accountNamed(db, body.account);
        const scopes = body.scopes ?? tokenScopes[body.role ?? "admin"];
        const { id, token } = await createToken(db, {
          accountId: account.id,
          name: body.name,
          email: ownerOfData.email,
          scopes,
          expiresOn: body.seconds === null ? null : new Date(now.getTime() + body.seconds * 1000),
          requestIp: body.requestIp ?? null,
          now,
        });
        const row = await existing(db, id);
        const { status: _, ...after } = shown(row, now);
        return { value: { id, token }, audit: { ...auditOf("token.create", row), after } };
      });
      return c.json(value);
    })
    .post("/tokens/:id/roll", async (c) => {
      const { value } = await store.write(async ({ db }) => {
        const row = await existing(db, c.req.param("id"));
        const token = await rollToken(db, row.id, clock());
        return { value: { id: row.id, token }, audit: auditOf("token.roll", row) };
      });
      return c.json(value);
    })
    .delete("/tokens/:id", async (c) => {
      const { value } = await store.write(async ({ db }) => {
        const row = await existing(db, c.req.param("id"));
        await revokeToken(db, row.id, clock());
        return { value: { id: row.id, name: row.name }, audit: auditOf("token.delete", row) };
      });
      return c.json(value);
    });
}

/** @param id the token's id, or a name that only one token has */
async function existing(db: Database, id: string): Promise<TokenRow> {
  const byId = await findTokenById(db, id);
  if (byId && byId.revokedOn === null) return byId;
  const accounts = await listAccounts(db);
  const rows = (await Promise.all(accounts.map((account) => listTokens(db, account.id)))).flat();
  const named = rows.filter(({ name, revokedOn }) => name === id && revokedOn === null);
  if (named.length === 1 && named[0]) return named[0];
  throw new Failure("token_not_found", {
    message:
      named.length === 0
        ? `there is no API token "${id.slice(0, 100)}"`
        : `${named.length} API tokens have the name "${id.slice(0, 100)}"`,
    ...(named.length > 1 && { fix: "Name it by its id: see `countersign token list`." }),
  });
}

function auditOf(action: AuditAction, { id, name, accountId }: TokenRow): Audit {
  return { by: ownerOfData, action, accountId, resource: { type: "token", id, name } };
}

function shown(row: TokenRow, now: Date): ShownToken {
  const expired = row.expiresOn !== null && new Date(row.expiresOn) <= now;
  return {
    id: row.id,
    name: row.name,
    accountId: row.accountId,
    email: row.email,
    scopes: row.scopes,
    createdOn: row.createdOn,
    expiresOn: row.expiresOn,
    requestIp: row.requestIp === null ? null : requestIpOf(row),
    status: expired ? "expired" : row.disabled === 1 ? "disabled" : "active",
  };
}
