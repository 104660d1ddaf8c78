import { Hono } from "hono";
import { z } from "zod";
import { ownerOfData } from "../../control/api/auth.ts";
import { hashPassword, makePassword } from "../../control/access/passwords.ts";
import { hasHostsOfOthers } from "../../control/routing/host-owners.ts";
import type { Role } from "../../control/api/scopes.ts";
import { Failure } from "../../failures/failures.ts";
import {
  createAccount,
  findSubdomain,
  listAccounts,
  setAccountLimits,
} from "../../store/access/accounts.ts";
import { defaultControlLimits } from "../../control/api/context.ts";
import type { AuditAction } from "../../store/access/audit.ts";
import { deleteSecondFactor } from "../../store/access/second-factors.ts";
import { endSession, sessionsOf } from "../../store/access/sessions.ts";
import { deleteOauthOf } from "../../store/access/oauth.ts";
import type { AccountLimits, UserRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import {
  createUser,
  deleteMembership,
  deleteUser,
  findUserByEmail,
  listMembers,
  membershipsOf,
  setMembership,
  setPassword,
} from "../../store/access/users.ts";
import { type AccessContext, accountNamed } from "./context.ts";

const role = z.enum(["admin", "deployer", "viewer"]);
const email = z.email().max(254).toLowerCase();
const account = z.string().max(200).optional();
const newAccount = z.object({
  name: z.string().trim().min(1).max(120),
  subdomain: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "is not a DNS label")
    .nullable(),
});
const most = z.number().int().min(0).max(1_000_000).optional();
const limits = z.object({ account, certificates: most, authorities: most });
const DEFAULTS = {
  certificates: defaultControlLimits.certificates,
  authorities: defaultControlLimits.authorities,
};
const newMember = z.object({ email, role, account, password: z.string().optional() });
const removal = z.object({ email, account });
const whom = z.object({ email });
const session = z.object({ email, id: z.string().max(64) });
const reset = z.object({ email, password: z.string().optional() });

export interface ShownMember {
  readonly email: string;
  readonly role: Role;
  readonly accountId: string;
  readonly account: string;
  readonly since: string;
}

/** A password that was generated here and is shown once. Null: the caller gave the password. */
export interface MadePassword {
  readonly email: string;
  readonly password: string | null;
}

/** Accounts, and the people in them. */
export function peopleApp({ store, clock }: AccessContext): Hono {
  return new Hono()
    .get("/accounts", async (c) => c.json(await listAccounts(store.db)))
    .post("/accounts", async (c) => {
      const { name, subdomain } = newAccount.parse(await c.req.json());
      const { value } = await store.write(async ({ db }) => {
        const taken = (await listAccounts(db)).some((other) => other.name === name);
        if (taken || (subdomain !== null && (await findSubdomain(db, subdomain)))) {
          throw new Failure("account_exists", {
            message: `the name "${name}"${subdomain === null ? "" : ` or the subdomain "${subdomain}"`} is taken`,
          });
        }
        if (subdomain !== null && (await hasHostsOfOthers(db, null, subdomain))) {
          throw new Failure("account_exists", {
            message: `another account has hosts below the subdomain "${subdomain}"`,
          });
        }
        const made = await createAccount(db, { name, subdomain, now: clock() });
        return {
          value: made,
          audit: {
            by: ownerOfData,
            action: "account.create",
            accountId: made.id,
            resource: { type: "account", id: made.id, name },
            after: { name, subdomain },
          },
        };
      });
      return c.json(value);
    })
    .post("/accounts/limits", async (c) => {
      const { account: named, ...changed } = limits.parse(await c.req.json());
      const { value } = await store.write(async ({ db }) => {
        const row = await accountNamed(db, named);
        const before = row.limits;
        const after: AccountLimits = {
          ...before,
          ...(changed.certificates !== undefined && { certificates: changed.certificates }),
          ...(changed.authorities !== undefined && { authorities: changed.authorities }),
        };
        await setAccountLimits(db, row.id, after);
        return {
          value: { id: row.id, name: row.name, limits: { ...DEFAULTS, ...after } },
          audit: {
            by: ownerOfData,
            action: "account.limits",
            accountId: row.id,
            resource: { type: "account", id: row.id, name: row.name },
            before: { ...before },
            after: { ...after },
          },
        };
      });
      return c.json(value);
    })
    .get("/users", async (c) => {
      const members = await listMembers(store.db);
      return c.json(
        members.map(({ accountName, createdOn, ...member }): ShownMember => ({
          email: member.email,
          role: member.role,
          accountId: member.accountId,
          account: accountName,
          since: createdOn,
        })),
      );
    })
    .post("/users", async (c) => {
      const body = newMember.parse(await c.req.json());
      const known = await findUserByEmail(store.db, body.email);
      const made = known || body.password !== undefined ? null : makePassword();
      // The hash is slow on purpose, so it is computed outside the transaction.
      const passwordHash = known ? null : await hashPassword(body.password ?? made ?? "");
      const { value } = await store.write(async ({ db }) => {
        const { id: accountId } = await accountNamed(db, body.account);
        const user =
          known ??
          (await createUser(db, {
            email: body.email,
            passwordHash: passwordHash ?? "",
            now: clock(),
          }));
        const there = (await membershipsOf(db, user.id)).find((m) => m.accountId === accountId);
        if (there) {
          throw new Failure("user_exists", {
            message: `${body.email} is ${there.role} of the account already`,
          });
        }
        const createdOn = clock().toISOString();
        await setMembership(db, { userId: user.id, accountId, role: body.role, createdOn });
        return {
          value: { email: body.email, password: made } satisfies MadePassword,
          audit: { ...auditOf("user.create", user, accountId), after: { role: body.role } },
        };
      });
      return c.json(value);
    })
    .post("/users/role", async (c) => {
      const body = newMember.omit({ password: true }).parse(await c.req.json());
      const { value } = await store.write(async ({ db }) => {
        const { id: accountId } = await accountNamed(db, body.account);
        const { user, member } = await existing(db, body.email, accountId);
        await setMembership(db, { ...member, role: body.role });
        return {
          value: { email: user.email, role: body.role },
          audit: {
            ...auditOf("user.role", user, accountId),
            before: { role: member.role },
            after: { role: body.role },
          },
        };
      });
      return c.json(value);
    })
    .post("/users/remove", async (c) => {
      const body = removal.parse(await c.req.json());
      const { value } = await store.write(async ({ db }) => {
        const named = body.account === undefined ? null : await accountNamed(db, body.account);
        const { user, member } = await existing(db, body.email, named?.id);
        const memberships = await membershipsOf(db, user.id);
        const last = named === null || memberships.length === 1;
        if (last) await deleteUser(db, user.id);
        else await deleteMembership(db, member);
        return {
          value: { email: user.email, accounts: last ? memberships.length : 1 },
          audit: {
            ...auditOf("user.remove", user, named?.id ?? (last ? member.accountId : null)),
            before: {
              roles: memberships.map(({ accountId, role: r }) => ({ accountId, role: r })),
            },
          },
        };
      });
      return c.json(value);
    })
    .post("/users/factor/remove", async (c) => {
      const body = whom.parse(await c.req.json());
      const { value } = await store.write(async ({ db }) => {
        const { user, member } = await existing(db, body.email);
        if (!(await deleteSecondFactor(db, user.id))) throw new Failure("second_factor_not_begun");
        return {
          value: { email: user.email },
          audit: {
            ...auditOf("user.factor", user, member.accountId),
            after: { state: "removed" },
          },
        };
      });
      return c.json(value);
    })
    .get("/users/sessions", async (c) => {
      const { user } = await existing(store.db, email.parse(c.req.query("email")));
      return c.json(await sessionsOf(store.db, user.id, clock()));
    })
    .post("/users/sessions/end", async (c) => {
      const body = session.parse(await c.req.json());
      const { value } = await store.write(async ({ db }) => {
        const { user, member } = await existing(db, body.email);
        if ((await endSession(db, user.id, body.id)) === 0) throw new Failure("session_not_found");
        return {
          value: { id: body.id },
          audit: {
            ...auditOf("user.session", user, member.accountId),
            after: { ended: body.id },
          },
        };
      });
      return c.json(value);
    })
    .post("/users/password", async (c) => {
      const body = reset.parse(await c.req.json());
      const made = body.password === undefined ? makePassword() : null;
      const passwordHash = await hashPassword(body.password ?? made ?? "");
      const { value } = await store.write(async ({ db }) => {
        const { user, member } = await existing(db, body.email);
        await setPassword(db, user.id, { passwordHash, now: clock() });
        await deleteOauthOf(db, user.id);
        return {
          value: { email: user.email, password: made } satisfies MadePassword,
          audit: auditOf("user.password", user, member.accountId),
        };
      });
      return c.json(value);
    });
}

/** @throws Failure `user_not_found` */
async function existing(
  db: Database,
  address: string,
  accountId?: string,
): Promise<{ user: UserRow; member: Awaited<ReturnType<typeof membershipsOf>>[number] }> {
  const user = await findUserByEmail(db, address);
  const memberships = user ? await membershipsOf(db, user.id) : [];
  const member =
    accountId === undefined
      ? memberships[0]
      : memberships.find((each) => each.accountId === accountId);
  if (user && member) return { user, member };
  throw new Failure("user_not_found", {
    message: `there is nobody with the e-mail address "${address}"${accountId === undefined ? "" : " in this account"}`,
  });
}

function auditOf(
  action: AuditAction,
  { id, email: name }: UserRow,
  accountId: string | null,
): {
  by: typeof ownerOfData;
  action: AuditAction;
  accountId: string | null;
  resource: { type: string; id: string; name: string };
} {
  return { by: ownerOfData, action, accountId, resource: { type: "user", id, name } };
}
