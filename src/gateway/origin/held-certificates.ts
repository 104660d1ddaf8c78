import {
  checkKey,
  readCredential,
  validityFailure,
  type Credential,
} from "../../certificates/credential.ts";
import type { CertificateVersion } from "../../contract/change-feed.ts";
import { IDENTITY } from "../../contract/identity.ts";
import { Failure } from "../../failures/failures.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { Clock } from "../clock.ts";

interface Revoked {
  readonly state: "revoked";
  readonly version: number;
  readonly on: string;
  /** Of an identity: the Worker that had it was deleted. */
  readonly ofDeleted: boolean;
}

/** A certificate as the gateway knows it, usable or not. */
type Read =
  | { readonly state: "usable"; readonly credential: Credential }
  | Revoked
  | { readonly state: "broken"; readonly failure: Failure };

/** One that was judged before a restart is read again when it is first needed. */
type Held = Read | { readonly state: "unread"; readonly certificate: CertificateVersion };

/** The certificates that bindings may present, each in the version that is in force. */
export class HeldCertificates {
  readonly #keyring: Keyring;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();

  constructor(keyring: Keyring, clock: Clock) {
    this.#keyring = keyring;
    this.#clock = clock;
  }

  /**
   * Certificates that another process of this gateway has verified. They are not verified again.
   */
  restore(certificate: CertificateVersion): void {
    this.#held.set(keyOf(certificate), { state: "unread", certificate });
  }

  /**
   * @throws Failure if it cannot be presented (does not parse or match, has expired; an identity also if
   * it is not valid yet and the one before is). What was in use before stays in use.
   */
  set(certificate: CertificateVersion): void {
    const key = keyOf(certificate);
    if (certificate.revokedOn !== null) {
      this.#held.set(key, readHeld(certificate));
      return;
    }
    try {
      const credential = readCredential(certificate);
      checkKey(credential, this.#keyring);
      const failure = validityFailure(credential, this.#clock.now());
      if (failure?.code === "certificate_expired") throw failure;
      // Clocks differ: an identity that is valid is presented until its successor is.
      if (failure !== null && this.#isPresentedNow(certificate)) throw failure;
      this.#held.set(key, { state: "usable", credential });
    } catch (error) {
      if (!this.#held.has(key)) this.#held.set(key, broken(error));
      throw error;
    }
  }

  remove(accountId: string, certificateId: string): void {
    this.#held.delete(keyOf({ accountId, certificateId }));
  }

  #isPresentedNow(certificate: CertificateVersion): boolean {
    if (!isOfWorker(certificate.certificateId)) return false;
    const held = this.#read(keyOf(certificate));
    return held?.state === "usable" && validityFailure(held.credential, this.#clock.now()) === null;
  }

  /** The version that a binding would present now. @throws Failure why it would present none */
  credential(accountId: string, certificateId: string): Credential {
    const held = this.#read(keyOf({ accountId, certificateId }));
    const ofWorker = isOfWorker(certificateId);
    if (held === undefined && ofWorker) {
      throw new Failure("identity_missing", {
        message: `the Worker "${certificateId.slice(IDENTITY.length + 1)}" has no identity yet`,
        facts: { certificateId },
      });
    }
    if (held === undefined) {
      throw new Failure("certificate_gone", {
        message: `certificate ${certificateId} does not exist in account ${accountId}`,
        facts: { certificateId },
      });
    }
    if (held.state === "broken") throw held.failure;
    if (held.state === "revoked") throw revokedFailure(certificateId, held);
    const failure = validityFailure(held.credential, this.#clock.now());
    if (failure !== null) throw failure;
    return held.credential;
  }

  /** Every one that can be presented. */
  usable(): Credential[] {
    return [...this.#held.keys()].flatMap((key) => {
      const held = this.#read(key);
      return held?.state === "usable" ? [held.credential] : [];
    });
  }

  #read(key: string): Read | undefined {
    const held = this.#held.get(key);
    if (held?.state !== "unread") return held;
    const read = readHeld(held.certificate);
    this.#held.set(key, read);
    return read;
  }
}

function keyOf(key: Pick<CertificateVersion, "accountId" | "certificateId">): string {
  return `${key.accountId}/${key.certificateId}`;
}

function revokedFailure(certificateId: string, { version, on, ofDeleted }: Revoked): Failure {
  const facts = { certificateId, version, revokedOn: on };
  if (!isOfWorker(certificateId)) {
    const message = `certificate ${certificateId} was revoked on ${on}`;
    return new Failure("certificate_revoked", { message, facts });
  }
  return ofDeleted
    ? new Failure("identity_deleted", {
        message: `the ${certificateId} belonged to a Worker that was deleted on ${on}`,
        facts,
      })
    : new Failure("identity_revoked", {
        message: `the ${certificateId} was revoked on ${on}`,
        facts,
      });
}

function isOfWorker(certificateId: string): boolean {
  return certificateId.startsWith(`${IDENTITY}:`);
}

function readHeld(certificate: CertificateVersion): Read {
  const { version, revokedOn, ofDeleted = false } = certificate;
  if (revokedOn !== null) return { state: "revoked", version, on: revokedOn, ofDeleted };
  try {
    return { state: "usable", credential: readCredential(certificate) };
  } catch (error) {
    return broken(error);
  }
}

function broken(error: unknown): Read {
  const failure =
    error instanceof Failure ? error : new Failure("certificate_unusable", { cause: error });
  return { state: "broken", failure };
}
