import type { AdapterPayload } from "oidc-provider";
import { OIDCProviderError } from "oidc-provider/lib/helpers/errors.js";
import timers from "node:timers/promises";
import { neighbourhood } from "../../../network/ranges.ts";
import { Throttle } from "../../../network/throttle.ts";

/** Longest `state` that a client may have stored, in characters; wrangler's has 32. */
const LONGEST_STATE = 512;
/** Largest stored data of one sign-in, in bytes; wrangler asks for thirty scopes. */
const LARGEST = 8192;
/** How long a refusal is held back, ms, and how many are held back at once. */
const HELD_BACK_MS = 150;
const HELD_AT_ONCE = 200;

/**
 * Limits sign-ins that were begun: anybody may begin one, and each is stored. The OAuth server's own calls are counted,
 * so no variant spelling of a path gets around the limit.
 */
export class BegunLogins {
  readonly #begun = new Throttle({ burst: 60, everyMs: 1000 });
  #held = 0;

  /** @throws OIDCProviderError, after a moment, if there are too many sign-ins, or this one is too large */
  async admit(payload: AdapterPayload, address: string | null): Promise<void> {
    const { state } = (payload.params ?? {}) as { state?: unknown };
    const isLong = typeof state === "string" && state.length > LONGEST_STATE;
    if (isLong || JSON.stringify(payload).length > LARGEST) {
      await this.#holdBack();
      throw new Refused(
        400,
        "invalid_request",
        "the sign-in asks to keep more than there is room for",
      );
    }
    // A person who has signed in continues, and their answers are stored, whatever the limit.
    if (payload.session?.accountId !== undefined || payload["result"] !== undefined) return;
    const key = neighbourhood(address ?? "");
    const wait = this.#begun.wait(key);
    if (wait === 0) return this.#begun.count(key);
    await this.#holdBack();
    const seconds = Math.ceil(wait / 1000);
    throw new Refused(
      429,
      "temporarily_unavailable",
      `too many sign-ins were begun from this address: the next one is free in ${seconds} s`,
    );
  }

  async #holdBack(): Promise<void> {
    if (this.#held >= HELD_AT_ONCE) return;
    this.#held += 1;
    await timers.setTimeout(HELD_BACK_MS);
    this.#held -= 1;
  }
}

/** An error that is shown on our own page; the browser is not sent back to the client. */
class Refused extends OIDCProviderError {
  override readonly allow_redirect = false;
  readonly error_description: string;

  constructor(status: number, error: string, description: string) {
    super(status, error);
    this.error_description = description;
  }
}
