import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import type { Audit, AuditAction } from "../../store/access/audit.ts";
import type { UserRow } from "../../store/schema.ts";
import { deleteSecondFactor } from "../../store/access/second-factors.ts";
import {
  endOtherSessions,
  endSession,
  sessionOfToken,
  sessionsOf,
} from "../../store/access/sessions.ts";
import { findUser, setPassword } from "../../store/access/users.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { PasswordTries } from "./login/password-tries.ts";
import { hashPassword } from "./passwords.ts";
import { beginSecondFactor, finishSecondFactor, hasSecondFactor } from "./second-factor.ts";

const password = z.string().max(256);
const change = z.object({ current: password, password });
const proof = z.object({ password });
const confirmation = z.object({ code: z.string().max(20) });

/** What people change about their own sign-in. Only the person who signed in may, never an API token. */
export function ownEndpoints({ store, keyring, clock }: ControlContext): readonly Endpoint[] {
  const passwords = new PasswordTries(store);
  const path = "/user/countersign";
  const prove = (user: UserRow, given: string, { address }: Caller): Promise<string> =>
    passwords.check(user.email, given, address);
  const signedIn = async (caller: Caller): Promise<UserRow> => {
    const user =
      caller.kind === "user" && caller.userId && (await findUser(store.db, caller.userId));
    if (user) return user;
    throw new Failure("login_needed");
  };
  return [
    endpoint(
      {
        method: "put",
        path: `${path}/password`,
        summary: "Change one's own password: all other logins end",
        scope: null,
        body: change,
      },
      async ({ caller, body }) => {
        const user = await signedIn(caller);
        await prove(user, body.current, caller);
        const passwordHash = await hashPassword(body.password);
        const { value } = await store.write(async ({ db }) => {
          await setPassword(db, user.id, { passwordHash, now: clock() });
          const kept = await sessionOfToken(db, caller.tokenId);
          const ended = await endOtherSessions(db, user.id, kept);
          return {
            value: { email: user.email, ended },
            audit: about("user.password", user, caller),
          };
        });
        return { result: value };
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/sessions`,
        summary: "Where one is signed in",
        scope: null,
      },
      async ({ caller }) => {
        const user = await signedIn(caller);
        const current = await sessionOfToken(store.db, caller.tokenId);
        const sessions = await sessionsOf(store.db, user.id, clock());
        return list(
          sessions.map(({ id, clientId, begunOn, expiresOn }) => ({
            id,
            client: clientId,
            begun_on: begunOn,
            expires_on: expiresOn,
            current: id === current,
          })),
        );
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/sessions/{session_id}`,
        summary: "End a login of one's own",
        scope: null,
      },
      async ({ caller, params }) => {
        const user = await signedIn(caller);
        const id = params["session_id"] ?? "";
        await store.write(async ({ db }) => {
          if ((await endSession(db, user.id, id)) === 0) throw new Failure("session_not_found");
          return {
            value: null,
            audit: { ...about("user.session", user, caller), after: { ended: id } },
          };
        });
        return { result: { id } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/second_factor`,
        summary: "Begin to enrol an authenticator app",
        scope: null,
        body: proof,
      },
      async ({ caller, body }) => {
        const user = await signedIn(caller);
        await prove(user, body.password, caller);
        const { value: uri } = await store.write(async ({ db }) => {
          // A person with an authenticator app has to remove it first, which is recorded in the audit log.
          if (await hasSecondFactor(db, user.id)) throw new Failure("second_factor_exists");
          return {
            value: await beginSecondFactor(db, keyring, user),
            audit: { ...about("user.factor", user, caller), after: { state: "begun" } },
          };
        });
        return { result: { uri } };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/second_factor`,
        summary: "Prove that the app has the secret: each sign-in asks for a code from then on",
        scope: null,
        body: confirmation,
      },
      async ({ caller, body }) => {
        const user = await signedIn(caller);
        const { value: codes } = await store.write(async ({ db }) => ({
          value: await finishSecondFactor(db, keyring, { user, code: body.code, now: clock() }),
          audit: { ...about("user.factor", user, caller), after: { state: "in force" } },
        }));
        return { result: { recovery_codes: codes } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/second_factor/remove`,
        summary: "Sign in without a code again",
        scope: null,
        body: proof,
      },
      async ({ caller, body }) => {
        const user = await signedIn(caller);
        await prove(user, body.password, caller);
        await store.write(async ({ db }) => {
          if (!(await deleteSecondFactor(db, user.id)))
            throw new Failure("second_factor_not_begun");
          return {
            value: null,
            audit: { ...about("user.factor", user, caller), after: { state: "removed" } },
          };
        });
        return { result: { email: user.email } };
      },
    ),
  ];
}

function about(action: AuditAction, { id, email: name }: UserRow, caller: Caller): Audit {
  const resource = { type: "user", id, name };
  return { by: actorOf(caller), action, accountId: caller.accountId, resource };
}
