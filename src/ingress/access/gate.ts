import { ASSERTION_LIFE } from "../../contract/access.ts";
import type { FailureCode } from "../../failures/failures.ts";
import { neighbourhood } from "../../network/ranges.ts";
import { Throttle } from "../../network/throttle.ts";
import { ACCESS_KEYS, type AccessUpdate } from "../protocol.ts";
import { signAssertion } from "./assertion.ts";
import { AccountRules, type Decision } from "./rules.ts";

/** One request, as Access judges it. */
export interface Visit {
  /** Whose host it is. */
  readonly accountId: string;
  /** Lower case, without port. */
  readonly host: string;
  /** `https://example.com`: the issuer of the assertion. */
  readonly origin: string;
  /** With its query. */
  readonly path: string;
  /** Of the client. Null: not known. */
  readonly address: string | null;
  readonly clientId: string | undefined;
  readonly clientSecret: string | undefined;
  /** What its client certificate was verified to be. Null: none, or by none of the CAs of the host. */
  certificate(authorities: readonly string[]): { readonly commonName: string } | null;
}

export type Verdict =
  /** Flat: name, value … to send to the Worker besides. */
  | { readonly kind: "pass"; readonly headers: readonly string[] }
  /** Answered here: the keys that assertions are verified with. */
  | { readonly kind: "answer"; readonly json: string }
  | { readonly kind: "refuse"; readonly code: FailureCode }
  /** Refused, later: for guesses. */
  | { readonly kind: "held"; readonly code: Promise<FailureCode> };

/** Guesses of one address that are not held back, in a row and for one id. */
const TRIES = { address: 50, id: 10 };
/** Assertions kept, so that a busy caller's is signed once in a while and not for each request. */
const MOST_KEPT = 10_000;

/**
 * Decides which requests are let in. While it does not know an account's rules, it lets no request
 * in for that account.
 */
export class Gate {
  readonly #accounts = new Map<string, AccountRules>();
  readonly #byAddress = new Throttle({ burst: TRIES.address, everyMs: 1000 });
  readonly #byId = new Throttle({ burst: TRIES.id, everyMs: 3000 });
  readonly #assertions = new Map<string, { readonly token: string; readonly until: number }>();
  readonly #now: () => number;

  /** @param now ms since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  update({ accountId, access }: AccessUpdate): void {
    this.#accounts.set(accountId, new AccountRules(access));
    this.#assertions.clear();
  }

  check(visit: Visit): Verdict {
    const rules = this.#accounts.get(visit.accountId);
    if (rules === undefined) return { kind: "refuse", code: "platform_starting" };
    if (rules.isEmpty) return PASS;
    if (visit.path === ACCESS_KEYS || visit.path.startsWith(`${ACCESS_KEYS}?`)) {
      return { kind: "answer", json: rules.publishedKeys };
    }
    const applications = rules.applicationsFor(visit.host, visit.path);
    if (applications.length === 0) return PASS;
    const now = this.#now();
    const token = rules.token(visit.clientId, visit.clientSecret, now);
    const caller = {
      address: visit.address,
      token,
      certificate: visit.certificate(rules.authoritiesOf(visit.host)),
    };
    const decisions = applications.map((application) => rules.decide(application, caller));
    // A path may be read in more than one way: each of them has to let it in.
    if (decisions.includes(null)) return this.#refused(visit, token !== null);
    const decision = decisions.find((one) => one?.isBypass === false);
    if (!decision) return PASS;
    const assertion = this.#assertion(rules, decision, visit, now);
    return assertion === null
      ? { kind: "refuse", code: "access_denied" }
      : { kind: "pass", headers: ["Cf-Access-Jwt-Assertion", assertion] };
  }

  #refused(visit: Visit, isKnown: boolean): Verdict {
    const { clientId, clientSecret } = visit;
    if (isKnown || (clientId === undefined && clientSecret === undefined)) {
      return { kind: "refuse", code: "access_denied" };
    }
    return { kind: "held", code: this.#guessed(visit) };
  }

  /** The answer is delayed after too many guesses, whatever the id is. */
  async #guessed({ address, clientId = "" }: Visit): Promise<FailureCode> {
    const from = neighbourhood(address ?? "");
    try {
      this.#byAddress.count(from);
      await this.#byId.failed(`${from} ${clientId.slice(0, 100)}`);
      this.#byAddress.forgive(from);
      await this.#byAddress.failed(from);
      return "access_denied";
    } catch {
      return "access_too_many_tries";
    }
  }

  #assertion(rules: AccountRules, decision: Decision, visit: Visit, now: number): string | null {
    const key = JSON.stringify([
      visit.accountId,
      decision.application.aud,
      decision.commonName,
      visit.origin,
    ]);
    const kept = this.#assertions.get(key);
    if (kept !== undefined && kept.until > now) return kept.token;
    const signingKey = rules.signingKey(now);
    if (signingKey === null) return null;
    const token = signAssertion(signingKey, {
      audience: decision.application.aud,
      issuer: visit.origin,
      commonName: decision.commonName,
      now,
    });
    if (this.#assertions.size >= MOST_KEPT) this.#assertions.clear();
    this.#assertions.set(key, { token, until: now + (ASSERTION_LIFE * 1000) / 2 });
    return token;
  }
}

const PASS: Verdict = { kind: "pass", headers: [] };
