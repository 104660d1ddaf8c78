import { Hono } from "hono";
import { setTimeout as delay } from "node:timers/promises";
import { Failure } from "../../failures/failures.ts";
import { keyIn } from "../../contract/key-in.ts";
import { REFRESH_HINT, spiffeBundle } from "../../identity/bundle.ts";
import { makeFeedSigner, type FeedSigner } from "../../identity/feed-signer.ts";
import type { Identities } from "../../identity/identities.ts";
import { LARGEST_REQUEST, ocspRefusal } from "../../identity/ocsp.ts";
import { findAccount } from "../../store/access/accounts.ts";
import {
  findPolicy,
  identitiesCursor,
  listAuthorities,
  listRevoked,
} from "../../store/identities.ts";
import type { Database } from "../../store/database.ts";
import type { ControlContext } from "../api/context.ts";
import { failure } from "../api/envelope.ts";
import { fromUrl, OcspResponders } from "./ocsp.ts";
import { remoteAddress } from "../api/remote-address.ts";
import { Readers } from "./readers.ts";
import { SignedAnswers } from "./signed-answers.ts";
import { RevocationLists } from "./identity-revocation-lists.ts";

/** How long a request for news is held open, ms. */
const PATIENCE = 25_000;
/**
 * ms that the certificate in a kept feed stays valid: the control plane may be away for 12 hours, and the origin may
 * start again in that time.
 */
const LEFT = 16 * 3_600_000;

/**
 * What an account publishes about its identities, for everybody who can reach the API: CAs, revocations and the signed
 * feed with policies. None of it is secret, and all of it is needed before anybody has a token.
 */
export function publishedIdentities(
  { store, clock, log }: Pick<ControlContext, "store" | "clock" | "log">,
  identities: Identities,
): Hono {
  const { db } = store;
  const signers = new Map<string, Promise<FeedSigner>>();
  const answers = new SignedAnswers();
  const readers = new Readers();
  const app = new Hono<{ Variables: { account: string } }>().basePath(
    "/client/v4/accounts/:account_id/countersign/identity",
  );
  app.onError((error) => failure(error, log));

  // Endpoints beside these need a token, and do not reveal to others which accounts exist.
  const open = ["/bundle.pem", "/bundle.json", "/crl.pem", "/feed", "/ocsp", "/ocsp/*"];
  app.on(["GET", "POST"], open, async (c, next) => {
    readers.count(remoteAddress(c));
    const account = c.req.param("account_id") ?? "";
    if (!(await findAccount(db, account))) {
      throw new Failure("account_not_found", { message: "there is no such account" });
    }
    c.set("account", account);
    await next();
  });

  app.get("/bundle.pem", async (c) => {
    const { authorities, cursor } = await trusted(db, c.var.account, identities);
    return published(c.req.raw, cursor, "application/x-pem-file", authorities.join(""));
  });

  app.get("/bundle.json", async (c) => {
    const { authorities, cursor } = await trusted(db, c.var.account, identities);
    const bundle = JSON.stringify(spiffeBundle(authorities, cursor));
    return published(c.req.raw, cursor, "application/json", bundle);
  });

  const revocationLists = new RevocationLists(db, identities);
  app.get("/crl.pem", async (c) => {
    const lists = await revocationLists.of(c.var.account, clock());
    return new Response(lists, { headers: { "content-type": "application/x-pem-file" } });
  });

  const responders = new OcspResponders(db, identities);
  const answered = async (account: string, request: Uint8Array): Promise<Response> => {
    const answer = readers.maySign(account)
      ? await responders.answer(account, request, clock())
      : ocspRefusal("later");
    return new Response(new Uint8Array(answer), {
      headers: { "content-type": "application/ocsp-response", "cache-control": "no-store" },
    });
  };
  app.post("/ocsp", async (c) => answered(c.var.account, await firstBytes(c.req.raw)));
  app.get("/ocsp/:request{.+}", (c) => answered(c.var.account, fromUrl(c.req.param("request"))));

  app.get("/feed", async (c) => {
    const { account } = c.var;
    const name = c.req.query("policy") ?? null;
    const after = Number(c.req.query("after") ?? -1);
    if (!Number.isSafeInteger(after) || after < -1) {
      throw new Failure("request_invalid", { message: "`after` is not a cursor" });
    }
    await identities.authority(account);
    const done = readers.wait(account, remoteAddress(c));
    if (done !== null) {
      try {
        await changedSince(account, after, c.req.raw.signal);
      } finally {
        done();
      }
    }
    const cursor = await identitiesCursor(db, account);
    if (cursor === after) return new Response(null, { status: 204 });
    const now = clock();
    const policy = name === null ? undefined : await findPolicy(db, account, name);
    // A policy that does not exist is not cached, because anybody can invent any number of names.
    const key = keyIn(account, policy?.name ?? "");
    const jws = await answers.of(key, cursor, now.getTime(), async () =>
      (await signerOf(account, now)).sign(await feedOf(account, cursor, policy, now)),
    );
    return new Response(jws, {
      headers: { "content-type": "application/jose", "cache-control": "no-store" },
    });
  });

  const feedOf = async (
    account: string,
    cursor: number,
    policy: Awaited<ReturnType<typeof findPolicy>>,
    now: Date,
  ): Promise<unknown> => {
    const { authorities } = await trusted(db, account, identities);
    const revoked = await listRevoked(db, account, now);
    return {
      cursor,
      account,
      authorities,
      revoked: revoked.map(({ serial }) => serial),
      policy: policy
        ? { name: policy.name, version: policy.version, policy: JSON.parse(policy.body) as unknown }
        : null,
    };
  };

  /** Resolves when the account has something newer than `after`, or when the time is over. */
  const changedSince = async (
    account: string,
    after: number,
    signal: AbortSignal,
  ): Promise<void> => {
    const stop = new AbortController();
    const patience = AbortSignal.any([signal, stop.signal]);
    const late = delay(PATIENCE, null, { signal: patience, ref: false }).catch(() => {});
    const timedOut = late.then(() => stop.abort());
    try {
      for (;;) {
        // Called before the read, so that a commit in between is not missed.
        const committed = store.committed(patience);
        if (patience.aborted || (await identitiesCursor(db, account)) !== after) return;
        await committed;
      }
    } finally {
      stop.abort();
      await timedOut;
    }
  };

  /** A signer's certificate is valid for a day. A new one is made in time, and after the clock was set back. */
  const signerOf = async (account: string, now: Date): Promise<FeedSigner> => {
    const authority = await identities.authority(account);
    const current = await signers.get(authority.id);
    const isFresh =
      current !== undefined &&
      current.notBefore <= now &&
      current.notAfter.getTime() - now.getTime() > LEFT;
    if (isFresh) return current;
    const { trustDomain } = identities;
    const made = makeFeedSigner(identities.signer(authority), { account, trustDomain, now });
    signers.set(authority.id, made);
    return made;
  };
  return app as unknown as Hono;
}

/** The CAs that origins of the account trust now. */
async function trusted(
  db: Database,
  account: string,
  identities: Identities,
): Promise<{ authorities: string[]; cursor: number }> {
  await identities.authority(account);
  const rows = await listAuthorities(db, account);
  const authorities = rows.filter(({ state }) => state !== "retired").map(({ root }) => root);
  return { authorities, cursor: await identitiesCursor(db, account) };
}

/** The body; if it is too long, only as much as shows that. */
async function firstBytes({ body }: Request): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > LARGEST_REQUEST) break;
  }
  return Buffer.concat(chunks);
}

function published(request: Request, cursor: number, type: string, body: string): Response {
  const headers = {
    etag: `"${cursor}"`,
    "cache-control": `max-age=${REFRESH_HINT}, must-revalidate`,
  };
  if (request.headers.get("if-none-match") === headers.etag) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(body, { headers: { ...headers, "content-type": type } });
}
