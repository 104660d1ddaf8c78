import { createHash, createPrivateKey, timingSafeEqual } from "node:crypto";
import type {
  AccessApplication,
  AccessPolicy,
  AccessRule,
  ServiceToken,
} from "../../contract/access.ts";
import { isForHost, parseHostRule, type HostRule } from "../../network/patterns.ts";
import { plainAddress, Ranges } from "../../network/ranges.ts";
import type { IngressAccess } from "../protocol.ts";
import type { SigningKey } from "./assertion.ts";
import { covers, readingsOf } from "./paths.ts";

/** The caller, as far as it has proven who it is. */
export interface Guest {
  readonly address: string | null;
  readonly token: ServiceToken | null;
  readonly certificate: { readonly commonName: string } | null;
}

/** Lets in. */
export interface Decision {
  readonly application: AccessApplication;
  /** Without an assertion. */
  readonly isBypass: boolean;
  /** The service token's id, or the certificate's name; empty for what is neither. */
  readonly commonName: string;
}

/** Compared if there is no token with this id. It is the hash of no secret. */
const NOBODYS = Buffer.alloc(32);
const LONGEST_SECRET = 512;

/** What one account set. */
export class AccountRules {
  /** The most specific first. */
  readonly #domains: readonly Domain[];
  readonly #tokens: ReadonlyMap<string, ServiceToken>;
  readonly #access: IngressAccess;
  readonly #signingKeys: readonly (SigningKey & { readonly from: number })[];
  /** JSON: a set of keys, as `jose` and its like read it. */
  readonly publishedKeys: string;

  constructor(access: IngressAccess) {
    this.#access = access;
    this.#domains = access.applications
      .flatMap((application) => application.domains.map((domain) => domainOf(application, domain)))
      .toSorted(bySpecificity);
    this.#tokens = new Map(access.tokens.map((token) => [token.clientId, token]));
    this.#signingKeys = access.keys
      .map(({ id, privateKey, signsFrom }) => ({
        id,
        key: createPrivateKey(privateKey),
        from: Date.parse(signsFrom),
      }))
      .toSorted((a, b) => b.from - a.from);
    this.publishedKeys = JSON.stringify({ keys: access.keys.map(({ publicKey }) => publicKey) });
  }

  /** The newest of those whose time has come. Null: there is none. @param now ms */
  signingKey(now: number): SigningKey | null {
    // If the clock is behind, even the first key's time may not have come.
    return this.#signingKeys.find(({ from }) => from <= now) ?? this.#signingKeys.at(-1) ?? null;
  }

  /** Nothing is behind Access. */
  get isEmpty(): boolean {
    return this.#domains.length === 0;
  }

  /** The application of each way in which the path may be read. */
  applicationsFor(host: string, path: string): readonly AccessApplication[] {
    const domains = this.#domains.filter((domain) => isForHost(domain.host, host));
    if (domains.length === 0) return [];
    const found = new Set<AccessApplication>();
    const readings = readingsOf(path);
    if (readings === null) return [...new Set(domains.map(({ application }) => application))];
    for (const reading of readings) {
      const lower = reading.toLowerCase();
      // A Worker may take `/Admin` for `/admin`, or not.
      for (const isSame of [
        (one: Domain) => covers(one.path, reading),
        (one: Domain) => covers(one.path.toLowerCase(), lower),
      ]) {
        const domain = domains.find(isSame);
        if (domain !== undefined) found.add(domain.application);
      }
    }
    return [...found];
  }

  /** The same work is done for a wrong id, a wrong secret and no secret. */
  token(
    clientId: string | undefined,
    secret: string | undefined,
    now: number,
  ): ServiceToken | null {
    const token = this.#tokens.get(clientId ?? "");
    const hash = createHash("sha256")
      .update((secret ?? "").slice(0, LONGEST_SECRET))
      .digest();
    let isRight = false;
    for (const index of [0, 1]) {
      const one = token?.secrets[index];
      const isEqual = timingSafeEqual(hash, one ? Buffer.from(one.hash, "hex") : NOBODYS);
      const isInTime = one !== undefined && isBefore(now, one.until);
      isRight = (isEqual && isInTime) || isRight;
    }
    const isWhole = secret !== undefined && secret.length <= LONGEST_SECRET;
    if (token === undefined || !isRight || !isWhole) return null;
    return token.enabled && isBefore(now, token.expiresOn) ? token : null;
  }

  /** PEM. */
  authoritiesOf(host: string): readonly string[] {
    return this.#access.authorities
      .filter(({ hosts }) => hosts.includes(host))
      .map(({ certificate }) => certificate);
  }

  /**
   * Null: it is not let in. As on Cloudflare, a `deny` does not count for a caller that another
   * policy lets in.
   */
  decide(application: AccessApplication, guest: Guest): Decision | null {
    const policy = application.policies.find(
      (one) => one.decision !== "deny" && matches(one, guest),
    );
    if (policy === undefined) return null;
    const commonName = guest.token?.clientId ?? guest.certificate?.commonName ?? "";
    return { application, isBypass: policy.decision === "bypass", commonName };
  }
}

function matches({ include, require, exclude }: AccessPolicy, guest: Guest): boolean {
  const isMet = (rule: AccessRule): boolean => meets(rule, guest);
  return include.some(isMet) && require.every(isMet) && !exclude.some(isMet);
}

function meets(rule: AccessRule, { address, token, certificate }: Guest): boolean {
  switch (rule.kind) {
    case "everyone":
      return true;
    case "ip":
      return address !== null && new Ranges([rule.range]).has(plainAddress(address));
    case "service_token":
      return token !== null && token.id === rule.tokenId;
    case "any_valid_service_token":
      return token !== null;
    case "certificate":
      return certificate !== null;
    case "common_name":
      return certificate !== null && certificate.commonName === rule.commonName;
    default:
      // A newer control plane may send unknown rules. They match no caller.
      return false;
  }
}

interface Domain {
  readonly application: AccessApplication;
  readonly host: HostRule;
  readonly path: string;
}

function domainOf(application: AccessApplication, domain: string): Domain {
  const slash = domain.indexOf("/");
  return {
    application,
    host: parseHostRule(slash === -1 ? domain : domain.slice(0, slash)),
    path: slash === -1 ? "" : domain.slice(slash),
  };
}

function bySpecificity(a: Domain, b: Domain): number {
  return (
    Number(a.host.any) - Number(b.host.any) ||
    b.host.end.length - a.host.end.length ||
    b.path.length - a.path.length
  );
}

/** Null is never. */
function isBefore(now: number, until: string | null): boolean {
  return until === null || now < Date.parse(until);
}
