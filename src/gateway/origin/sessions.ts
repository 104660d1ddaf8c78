import type { Clock } from "../clock.ts";

/** The TLS sessions with which later connections to one origin may go on. */
export class Sessions {
  readonly #clock: Clock;
  /** The newest last. */
  #kept: TlsSession[] = [];
  /** Some origins issue tickets that they later refuse. */
  #resumes: boolean;

  /** @param resumes false: none is ever kept */
  constructor(resumes: boolean, clock: Clock) {
    this.#resumes = resumes;
    this.#clock = clock;
  }

  add(ticket: Buffer): void {
    if (!this.#resumes) return;
    this.#kept.push({ ticket, at: this.#clock.now() });
    if (this.#kept.length > MOST_SESSIONS) this.#kept.shift();
  }

  /** A ticket is used once, and no longer than what was verified then can be relied upon. */
  take(): TlsSession | null {
    const session = this.#kept.pop();
    return session && this.#clock.now() - session.at < SESSION_LIFETIME ? session : null;
  }

  /** On TLS 1.2 a session may go on as often as the origin lets it, without another ticket. */
  takeBack(session: TlsSession): void {
    if (this.#kept.length === 0) this.#kept.push(session);
  }

  clear(): void {
    this.#kept = [];
  }

  /** From now on none is kept. */
  giveUp(): void {
    this.#resumes = false;
    this.clear();
  }
}

export interface TlsSession {
  readonly ticket: Buffer;
  /** Unix time in ms. */
  readonly at: number;
}

/** An origin sends two for each handshake, and often none when one is resumed. */
const MOST_SESSIONS = 32;

/** In ms: as long as a verdict on an origin may be kept. */
const SESSION_LIFETIME = 600_000;
