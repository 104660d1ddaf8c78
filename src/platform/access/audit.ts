import { Hono } from "hono";
import { z } from "zod";
import { auditFailure, checkAudit } from "../../store/access/audit-check.ts";
import { listAudit } from "../../store/access/audit.ts";
import { type AccessContext, accountNamed } from "./context.ts";

const query = z.object({
  account: z.string().optional(),
  email: z.string().optional(),
  action: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(50),
});
const noted = z.object({
  head: z
    .string()
    .regex(/^\d{1,15}:[0-9a-f]{64}$/, "is not a head as `audit verify` prints it")
    .nullable(),
});

/** The audit log of the whole platform, for the owner of the data folder. */
export function auditApp({ store, keyring }: AccessContext): Hono {
  return new Hono()
    .get("/audit", async (c) => {
      const { account, email, action, limit } = query.parse(c.req.query());
      const { entries } = await listAudit(store.db, {
        ...(account !== undefined && { accountId: (await accountNamed(store.db, account)).id }),
        ...(email !== undefined && { email }),
        ...(action !== undefined && { action }),
        limit,
      });
      return c.json(entries);
    })
    .post("/audit/verify", async (c) => {
      const { head } = noted.parse(await c.req.json());
      const [sequence = "", hash = ""] = head?.split(":") ?? [];
      const check = await checkAudit(
        store.db,
        keyring,
        head === null ? null : { sequence: Number(sequence), hash },
      );
      if (check.broken !== null) throw auditFailure(check);
      return c.json(check);
    });
}
