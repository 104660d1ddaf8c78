import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingMessage } from "node:http";
import { bodyLimit } from "hono/body-limit";
import { csrf } from "hono/csrf";
import { HTTPException } from "hono/http-exception";
import type { Provider } from "oidc-provider";
import type { Logger } from "pino";
import { Failure } from "../../../failures/failures.ts";
import { findUser, membershipsOf } from "../../../store/access/users.ts";
import { type ClientBindings, remoteAddress } from "../../api/remote-address.ts";
import { common, isScope, roleScopes, type Scope } from "../../api/scopes.ts";
import { clientName, paths } from "./client.ts";
import {
  type Consent,
  consentPage,
  errorPage,
  type HtmlPage,
  codePage,
  signInPage,
  styleSheet,
} from "./pages.ts";
import { hasSecondFactor } from "../second-factor.ts";
import { PasswordTries } from "./password-tries.ts";
import { asReached, createProvider, type LoginContext } from "./provider.ts";
import { SecondSteps } from "./second-step.ts";

type Interaction = Awaited<ReturnType<Provider["interactionDetails"]>>;
type Bindings = { Bindings: ClientBindings };

const KIBIBYTE = 1024;

/**
 * `wrangler login`: the OAuth server and its two pages, all below `/oauth2`. It has to be served by
 * @hono/node-server, whose request and response it hands to the OAuth library.
 */
export function createLogin(context: LoginContext & { readonly log: Logger }): Hono<Bindings> {
  // The OAuth library passes only the stored data to the store, so the request's address is passed this way.
  const from = new AsyncLocalStorage<string | null>();
  const provider = createProvider({ ...context, address: () => from.getStore() ?? null });
  provider.on("server_error", ({ req }, error) => {
    // A client that leaves before its form has come is no failure of ours.
    if (!req.destroyed) context.log.error({ err: error }, "a login failed");
  });
  // Otherwise the library's framework prints each such error on the standard error stream.
  provider.silent = true;
  const answer = provider.callback();
  const passwords = new PasswordTries(context.store);
  const seconds = new SecondSteps(context);

  const app = new Hono<Bindings>();
  app.use(async (c, next) => {
    // The OAuth library answers HEAD by itself, and Hono would answer it once more.
    if (c.req.raw.method === "HEAD") return c.body(null, 405, { allow: "GET, POST" });
    await next();
    return undefined;
  });
  app.use((c, next) => {
    const { incoming } = c.env;
    asReached(incoming, context.issuer);
    cutSlowBody(incoming);
    return from.run(remoteAddress(c), next);
  });
  app.use(
    `${paths.interaction}/*`,
    csrf({ origin: context.issuer }),
    bodyLimit({ maxSize: 16 * KIBIBYTE }),
  );
  app.get(styleSheet.path, (c) =>
    c.body(styleSheet.body, 200, { "content-type": "text/css; charset=utf-8" }),
  );
  app.get(`${paths.interaction}/:uid`, async (c) => {
    const interaction = await interactionOf(provider, c.env, c.req.param("uid"));
    const action = `${paths.interaction}/${interaction.uid}`;
    return interaction.prompt.name === "login"
      ? show(await signInPage({ action, client: clientName(interaction.params["client_id"]) }))
      : show(await consentPage(await consentOf(context, interaction, `${action}/consent`)));
  });
  app.post(`${paths.interaction}/:uid`, async (c) => {
    const interaction = await interactionOf(provider, c.env, c.req.param("uid"));
    if (interaction.prompt.name !== "login") throw new Failure("sign_in_lapsed");
    const form = await c.req.formData();
    const email = text(form, "email");
    const action = `${paths.interaction}/${interaction.uid}`;
    const code = form.has("code") ? text(form, "code") : null;
    try {
      const address = remoteAddress(c);
      const accountId =
        code === null
          ? await passwords.check(email, text(form, "password"), address)
          : await seconds.check(interaction.uid, code, address);
      if (code === null && (await hasSecondFactor(context.store.db, accountId))) {
        seconds.begin(interaction.uid, accountId);
        return show(await codePage({ action }));
      }
      const { incoming, outgoing } = c.env;
      const login = { login: { accountId, remember: false } };
      const options = { mergeWithLastSubmission: false };
      return c.redirect(await provider.interactionResult(incoming, outgoing, login, options), 303);
    } catch (error) {
      if (!(error instanceof Failure) || error.entry.side !== "caller") throw error;
      if (code !== null && seconds.isBegun(interaction.uid)) {
        return show(await codePage({ action, problem: sentence(error) }), error.entry.status);
      }
      return show(
        await signInPage({
          action,
          client: clientName(interaction.params["client_id"]),
          email,
          problem: sentence(error),
        }),
        error.entry.status,
      );
    }
  });
  app.post(`${paths.interaction}/:uid/consent`, async (c) => {
    const interaction = await interactionOf(provider, c.env, c.req.param("uid"));
    const accountId = interaction.session?.accountId;
    if (interaction.prompt.name !== "consent" || accountId === undefined) {
      throw new Failure("sign_in_lapsed");
    }
    const allowed = text(await c.req.formData(), "decision") === "allow";
    const result = allowed
      ? { consent: { grantId: await grant(provider, accountId, interaction) } }
      : { error: "access_denied", error_description: "the person did not allow it" };
    const { incoming, outgoing } = c.env;
    return c.redirect(await provider.interactionResult(incoming, outgoing, result), 303);
  });
  app.all("/oauth2/*", async (c) => {
    await answer(c.env.incoming, c.env.outgoing);
    // A clone is the runtime's own kind of response. The original is of @hono/node-server's kind if that was loaded
    // first, and the library would then write it without looking at its headers.
    return RESPONSE_ALREADY_SENT.clone();
  });
  app.onError(async (error) => {
    const [problem, status] = problemOf(error, context.log);
    return show(await errorPage(problem), status);
  });
  return app;
}

function problemOf(error: Error, log: Logger): [string, number] {
  if (error instanceof Failure) return [sentence(error), error.entry.status];
  if (error instanceof HTTPException) return ["This form was not sent by this page.", error.status];
  if (error.name === "SessionNotFound") return problemOf(new Failure("sign_in_lapsed"), log);
  log.error({ err: error }, "a login failed unexpectedly");
  return ["Countersign met a condition it was not written for.", 500];
}

/** ms; a form has a few hundred bytes. */
const SLOWEST_BODY = 15_000;

function cutSlowBody(incoming: IncomingMessage): void {
  if (incoming.complete || incoming.method === "GET") return;
  const timer = setTimeout(() => {
    if (!incoming.complete) incoming.destroy();
  }, SLOWEST_BODY).unref();
  incoming.once("end", () => clearTimeout(timer)).once("close", () => clearTimeout(timer));
}

/** @throws SessionNotFound, Failure `sign_in_lapsed` */
async function interactionOf(
  provider: Provider,
  { incoming, outgoing }: ClientBindings,
  uid: string,
): Promise<Interaction> {
  const interaction = await provider.interactionDetails(incoming, outgoing);
  if (interaction.uid !== uid) throw new Failure("sign_in_lapsed");
  return interaction;
}

async function grant(
  provider: Provider,
  accountId: string,
  { params }: Interaction,
): Promise<string> {
  const made = new provider.Grant({ accountId, clientId: String(params["client_id"]) });
  made.addOIDCScope(scopesIn(params));
  return made.save();
}

async function consentOf(
  { store }: LoginContext,
  { params, session }: Interaction,
  action: string,
): Promise<Consent> {
  const user = session && (await findUser(store.db, session.accountId));
  if (!user) throw new Failure("sign_in_lapsed");
  const memberships = await membershipsOf(store.db, user.id);
  const asked = scopesIn(params).split(" ");
  const known = asked.filter(isScope);
  const allowed = new Set<Scope>(
    memberships.flatMap(({ role }) => common(known, roleScopes[role])),
  );
  const implied = (scope: Scope): boolean =>
    scope.endsWith(":read") && allowed.has(scope.replace(/:read$/, ":write") as Scope);
  return {
    action,
    client: clientName(params["client_id"]),
    email: user.email,
    accounts: memberships.map(({ account, role }) => ({ name: account.name, role })),
    scopes: [...allowed].filter((scope) => !implied(scope)),
    withheld: known.filter((scope) => !allowed.has(scope)),
    foreign: asked.filter((scope) => !isScope(scope) && scope !== "offline_access"),
  };
}

function scopesIn({ scope }: Interaction["params"]): string {
  return typeof scope === "string" ? scope : "";
}

function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}

function sentence(failure: Failure): string {
  return `${failure.message[0]?.toUpperCase()}${failure.message.slice(1)}. ${failure.fix}`;
}

function show({ body, headers }: HtmlPage, status = 200): Response {
  return new Response(body, {
    status,
    headers: { ...headers, "content-type": "text/html; charset=utf-8" },
  });
}
