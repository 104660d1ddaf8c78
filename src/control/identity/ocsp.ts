import { Failure } from "../../failures/failures.ts";
import type { Identities } from "../../identity/identities.ts";
import {
  answerOcsp,
  isAskedOf,
  LARGEST_REQUEST,
  makeResponder,
  ocspRefusal,
  readOcspRequest,
  type Responder,
} from "../../identity/ocsp.ts";
import type { Database } from "../../store/database.ts";
import { findIssued, listAuthorities } from "../../store/identities.ts";
import type { IdentityAuthorityRow } from "../../store/schema.ts";

/** A responder's certificate is valid for a day, and replaced after half of it. */
const HALF_A_DAY = 12 * 3_600_000;
const A_DAY = 24 * 3_600_000;

/** Answers OCSP requests for the CAs of every account. */
export class OcspResponders {
  readonly #db: Database;
  readonly #identities: Identities;
  readonly #made = new Map<string, Promise<Responder>>();

  constructor(db: Database, identities: Identities) {
    this.#db = db;
    this.#identities = identities;
  }

  async answer(account: string, der: Uint8Array, now: Date): Promise<Buffer> {
    const request = der.length <= LARGEST_REQUEST ? readOcspRequest(der) : null;
    if (request === null) return ocspRefusal("malformed");
    for (const row of await listAuthorities(this.#db, account)) {
      if (row.state === "retired" || row.chain === null) continue;
      const responder = await this.#responder(row, now);
      if (!isAskedOf(request, responder)) continue;
      const statusOf = async (serial: string): Promise<{ revokedOn: Date | null } | null> => {
        const issued = await findIssued(this.#db, account, serial);
        if (issued?.authorityId !== row.id) return null;
        return { revokedOn: issued.revokedOn === null ? null : new Date(issued.revokedOn) };
      };
      return answerOcsp(responder, request, statusOf, now);
    }
    return ocspRefusal("unauthorized");
  }

  async #responder(row: IdentityAuthorityRow, now: Date): Promise<Responder> {
    const current = await this.#made.get(row.id);
    const left = (current?.notAfter.getTime() ?? 0) - now.getTime();
    // If more than a day is left, the clock was set back, and the certificate would not be valid yet.
    if (current && left > HALF_A_DAY && left <= A_DAY) return current;
    const made = makeResponder(this.#identities.signer(row), row.accountId, now);
    this.#made.set(row.id, made);
    made.catch(() => this.#made.delete(row.id));
    return made;
  }
}

/** The bytes in `GET …/ocsp/{base64}`. @throws Failure `request_invalid` */
export function fromUrl(text: string): Buffer {
  try {
    return Buffer.from(decodeURIComponent(text), "base64");
  } catch (cause) {
    throw new Failure("request_invalid", { message: "the URL ends with no OCSP request", cause });
  }
}
