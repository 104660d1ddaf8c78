import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { presentedKeyPlace } from "../../src/keys/places.ts";
import { storeSource } from "../../src/store/change-feed.ts";
import { callApi, continueControl, newState, type TestControlState } from "./control.ts";
import { makeAuthority, type TestAuthority } from "./pki.ts";

export interface StormOptions {
  readonly uploads: number;
  readonly clients: number;
  /** How often the control plane is killed, spread evenly over the uploads. */
  readonly kills: number;
}

export interface StormResult {
  readonly seconds: number;
  /** Uploads that were stored although their answer was lost, which the second try was told. */
  readonly answeredTwice: number;
}

/**
 * Clients upload at the same time to a control plane that is killed in between. Each repeats its upload until it has an
 * answer. In the end each certificate exists once, and its key can be unsealed.
 * @throws AssertionError if an acknowledged upload is missing or stored twice
 */
export async function uploadStorm(options: StormOptions): Promise<StormResult> {
  const state = await newState();
  const storm = new Storm(state, options, await makeAuthority());
  try {
    return await storm.run();
  } finally {
    await storm.kill();
    await rm(state.folder, { recursive: true, force: true });
  }
}

interface Running {
  readonly child: ChildProcess;
  readonly api: string;
}

class Storm {
  readonly #state: TestControlState;
  readonly #options: StormOptions;
  readonly #authority: TestAuthority;
  /** Ids of acknowledged uploads. */
  readonly #acknowledged: Set<string> = new Set();
  #answeredTwice = 0;
  #started = 0;
  #running: Promise<Running>;

  constructor(state: TestControlState, options: StormOptions, authority: TestAuthority) {
    this.#state = state;
    this.#options = options;
    this.#authority = authority;
    this.#running = this.#start();
  }

  async run(): Promise<StormResult> {
    const began = performance.now();
    const clients = Array.from({ length: this.#options.clients }, () => this.#client());
    await Promise.all(clients);
    const seconds = (performance.now() - began) / 1000;
    await this.kill();
    await this.#assertWhole();
    return { seconds, answeredTwice: this.#answeredTwice };
  }

  async kill(): Promise<void> {
    const { child } = await this.#running;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async #client(): Promise<void> {
    const { uploads, kills } = this.#options;
    const between = Math.ceil(uploads / (kills + 1));
    while (this.#started < uploads) {
      const number = this.#started++;
      // While the other clients are in the middle of an upload.
      if (number > 0 && number % between === 0) {
        await this.kill();
        this.#running = this.#start();
      }
      await this.#upload(number);
    }
  }

  async #upload(number: number): Promise<void> {
    const leaf = await this.#authority.issue({ subject: `CN=client ${number}` });
    const body = { certificates: leaf.pem, private_key: leaf.key, name: `client ${number}` };
    for (;;) {
      const { api } = await this.#running;
      const target = { ...this.#state, api };
      const path = "/accounts/{account}/mtls_certificates";
      const answer = await callApi(target, "POST", path, body).catch(() => null);
      // The next try waits for the next control plane.
      if (answer === null) continue;
      const [error] = answer.errors;
      if (error?.code === 1471) {
        this.#answeredTwice += 1;
        this.#acknowledged.add(String(error.meta?.["certificateId"]));
      } else {
        assert.equal(answer.status, 200, error?.message ?? "refused");
        this.#acknowledged.add(answer.result.id);
      }
      return;
    }
  }

  async #start(): Promise<Running> {
    const program = fileURLToPath(new URL("control-child.ts", import.meta.url));
    const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] });
    const masterKey = Buffer.from(this.#state.masterKey).toString("hex");
    const limits = { certificates: this.#options.uploads };
    child.stdin.end(JSON.stringify({ ...this.#state, masterKey, limits }));
    for await (const api of createInterface({ input: child.stdout })) return { child, api };
    throw new Error("the control plane did not start");
  }

  async #assertWhole(): Promise<void> {
    await using control = await continueControl(this.#state);
    const source = storeSource(control.store);
    const { certificates } = await source.snapshot();
    const ids = new Set(certificates.map(({ certificateId }) => certificateId));
    assert.equal(certificates.length, this.#options.uploads, "each is there once");
    assert.deepEqual(ids, this.#acknowledged, "what was acknowledged is what is there");
    const names = new Set<string | null>();
    for (const { accountId, certificateId } of certificates) {
      const certificate = await source.certificate(accountId, certificateId);
      assert.ok(certificate);
      names.add(certificate.name);
      const { sealedId, sealedKey } = certificate;
      control.keyring.unseal(presentedKeyPlace({ accountId, sealedId }), sealedKey);
    }
    assert.equal(names.size, this.#options.uploads);
  }
}
