import type { Client } from "acme-client";
import { z } from "@hono/zod-openapi";
import { generateKeyPair } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { Failure } from "../../failures/failures.ts";
import type { AcmeChallengeKind } from "../../store/schema.ts";
import { type AcmeServer, acmeClient, refusal } from "./acme-client.ts";

export interface AcmeOrder extends Omit<AcmeServer, "signal"> {
  readonly host: string;
  readonly email: string | null;
  /** Whether an account was already opened with this key. */
  readonly isKnown: boolean;
  /** False: an account is opened only if the server has no terms. */
  readonly acceptsTerms: boolean;
  /** The kind of proof. Null: one that the server offers, HTTP-01 first. */
  readonly challenge: AcmeChallengeKind | null;
  /** Aborts the order. */
  readonly signal?: AbortSignal;
  /**
   * Called before an account is opened: its key has to be stored, for it may be open where nobody hears of it any more.
   */
  opening(this: void): Promise<void>;
  /** Called where the server refused to open it. */
  notOpened(this: void): Promise<void>;
  /** Called when the account is open, also where it was before. */
  opened(this: void): Promise<void>;
  /** Makes the ingress answer the challenge; in force on return. Disposing of the result removes it. */
  present(this: void, challenge: PresentedChallenge): Promise<AsyncDisposable>;
}

export interface PresentedChallenge {
  readonly token: string;
  readonly keyAuthorization: string;
}

export interface IssuedPair {
  /** Leaf first, PEM. */
  readonly chain: string;
  /** PKCS #8, PEM. */
  readonly key: string;
}

/** ms for the whole order. */
const LONGEST_ORDER = 120_000;
/** ms between two requests for a state that the server is still working on. */
const PAUSE = 1_000;

const state = z.object({
  url: z.string(),
  status: z.enum(["pending", "processing", "ready", "valid", "invalid"]),
  error: z.unknown().optional(),
});
const orderState = state.extend({ authorizations: z.array(z.string()).length(1) });
const authorizationState = state.omit({ status: true }).extend({
  status: z.enum(["pending", "valid", "invalid", "deactivated", "expired", "revoked"]),
  challenges: z
    .array(z.object({ type: z.string(), url: z.string(), error: z.unknown().optional() }).loose())
    .max(20),
});
/** HTTP-01 of RFC 8555, and TLS-ALPN-01 of RFC 8737, in order of preference. */
export const CHALLENGES: readonly ["http-01", "tls-alpn-01"] = ["http-01", "tls-alpn-01"];
const takenChallenge = z.object({
  type: z.enum(CHALLENGES),
  url: z.string(),
  token: z.string().regex(/^[A-Za-z0-9_-]{1,256}$/),
});

/**
 * Orders a certificate for one host, with a new key.
 * @throws Failure `acme_terms_not_accepted`, `acme_unreachable`, `acme_refused`, `acme_unfinished`
 */
export async function orderCertificate(order: AcmeOrder): Promise<IssuedPair> {
  const deadline = AbortSignal.timeout(LONGEST_ORDER);
  const signal = AbortSignal.any([deadline, ...(order.signal ? [order.signal] : [])]);
  try {
    const client = await acmeClient({ ...order, signal });
    await signIn(client, order);
    await order.opened();
    return await run(client, order, signal);
  } catch (error) {
    if (signal.aborted) throw new Failure("acme_unfinished", { cause: error });
    if (error instanceof Failure) throw error;
    throw new Failure("acme_unreachable", { cause: error });
  }
}

/** Opens the account of this key, or finds it if it exists. */
async function signIn(client: Client, order: AcmeOrder): Promise<void> {
  const { email, acceptsTerms, isKnown } = order;
  const terms = await client.getTermsOfServiceUrl();
  if (typeof terms === "string" && !acceptsTerms) {
    throw new Failure("acme_terms_not_accepted", {
      message: `the ACME server's terms were not accepted: ${terms.replace(/[^\x21-\x7e]/g, "?").slice(0, 300)}`,
    });
  }
  const contact = email !== null && { contact: [`mailto:${email}`] };
  if (isKnown && (await isFound(client))) {
    if (contact) await client.updateAccount(contact);
    return;
  }
  await order.opening();
  try {
    await client.createAccount({ termsOfServiceAgreed: acceptsTerms, ...contact });
  } catch (error) {
    if (error instanceof Failure && REFUSED.has(error.code)) await order.notOpened();
    throw error;
  }
}

const REFUSED: ReadonlySet<string> = new Set(["acme_refused", "acme_external_account_required"]);

/** A private server may have forgotten its accounts. */
async function isFound(client: Client): Promise<boolean> {
  try {
    await client.createAccount({ onlyReturnExisting: true });
    return true;
  } catch (error) {
    if (error instanceof Failure && error.code === "acme_refused") return false;
    throw error;
  }
}

async function run(
  client: Client,
  { host, present, challenge: wanted }: AcmeOrder,
  signal: AbortSignal,
): Promise<IssuedPair> {
  const identifiers = [{ type: "dns", value: host }];
  const created = await client.createOrder({ identifiers });
  // The order must have exactly one authorization, because the library would request all of them at once.
  orderState.parse(created);
  const authorization = async () =>
    authorizationState.parse((await client.getAuthorizations(created))[0]);
  const first = await authorization();
  if (first.status !== "valid") {
    const challenge = choose(first.challenges, wanted);
    // The library supports TLS-ALPN-01, but its types do not.
    const proof = { ...challenge, status: "pending" } as Parameters<Client["completeChallenge"]>[0];
    const keyAuthorization = await client.getChallengeKeyAuthorization(proof);
    await using _ = await present({ token: challenge.token, keyAuthorization });
    await client.completeChallenge(proof);
    await settled(authorization, signal, ({ status, challenges }) => {
      if (status === "valid") return true;
      if (status === "pending") return false;
      const { error } = challenges.find(({ type }) => type === challenge.type) ?? {};
      throw refusal(error, `the authorization is ${status}`);
    });
  }
  const read = async () => orderState.parse(await client.getOrder(created));
  await settled(read, signal, isPast("pending"));
  const { privateKey: key } = await makeKey("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const { crypto } = await import("acme-client");
  const [, csr] = await crypto.createCsr({ altNames: [host] }, key);
  await client.finalizeOrder(created, csr);
  await settled(read, signal, isPast("pending", "ready", "processing"));
  const chain: unknown = await client.getCertificate(await client.getOrder(created));
  return { chain: z.string().parse(chain), key };
}

/** @throws Failure `acme_refused` if the server offers no supported kind */
function choose(
  offered: readonly { readonly type: string }[],
  wanted: AcmeChallengeKind | null,
): z.output<typeof takenChallenge> {
  const kinds = wanted === null ? CHALLENGES : [wanted];
  for (const kind of kinds) {
    const found = takenChallenge.safeParse(offered.find(({ type }) => type === kind)).data;
    if (found !== undefined) return found;
  }
  const named = kinds.map((kind) => kind.toUpperCase()).join(" or ");
  throw new Failure("acme_refused", { message: `the ACME server offers no ${named} challenge` });
}

function isPast(...states: readonly string[]): (order: z.output<typeof orderState>) => boolean {
  return ({ status, error }) => {
    if (status === "invalid") throw refusal(error, "the order is invalid");
    return !states.includes(status);
  };
}

/** Asks until `isDone`, or until the signal aborts. */
async function settled<T>(
  read: () => Promise<T>,
  signal: AbortSignal,
  isDone: (item: T) => boolean,
): Promise<void> {
  while (!isDone(await read())) await wait(PAUSE, undefined, { signal });
}

const makeKey = promisify(generateKeyPair);
