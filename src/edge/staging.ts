import { Generation } from "./generation/generation.ts";
import type { GenerationContext } from "./generation/generation-context.ts";
import type { RunnableVersion } from "./in-process.ts";

/** Versions that run, or are being started, without a route. */
export class Staging {
  readonly #context: GenerationContext;
  readonly #versions = new Map<string, Staged>();

  constructor(context: GenerationContext) {
    this.#context = context;
  }

  /**
   * Starts a version; once, however often it is asked for. It replaces one that was to present
   * something else.
   * @throws Failure `worker_start_failed`, `worker_start_timeout`
   */
  async start(version: RunnableVersion): Promise<Generation> {
    const { versionId } = version;
    let staged = this.#versions.get(versionId);
    if (staged?.identity !== version.identity) {
      if (staged !== undefined) await this.discard(versionId);
      staged = new Staged(version.identity, Generation.create(this.#context, version));
      this.#versions.set(versionId, staged);
    }
    try {
      return await staged.started;
    } catch (error) {
      if (this.#versions.get(versionId) === staged) this.#versions.delete(versionId);
      throw error;
    }
  }

  /** The running generation of a version, if it was staged with success. */
  async find({ versionId, identity }: RunnableVersion): Promise<Generation | null> {
    const staged = this.#versions.get(versionId);
    return staged?.identity === identity ? staged.started.catch(() => null) : null;
  }

  /** It has a route now. */
  release(versionId: string): void {
    this.#versions.delete(versionId);
  }

  async discard(versionId: string): Promise<void> {
    const staged = this.#versions.get(versionId);
    this.#versions.delete(versionId);
    await staged?.stop();
  }

  generations(): readonly Generation[] {
    return [...this.#versions.values()].flatMap(({ generation }) => generation ?? []);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#versions.keys()].map((versionId) => this.discard(versionId)));
  }
}

class Staged {
  readonly identity: string;
  readonly started: Promise<Generation>;
  generation: Generation | null = null;

  constructor(identity: string, created: Promise<Generation>) {
    this.identity = identity;
    this.started = this.#start(created);
  }

  async stop(): Promise<void> {
    await this.generation?.stop(0);
    await this.started.then(
      (generation) => generation.stop(0),
      () => {},
    );
  }

  async #start(created: Promise<Generation>): Promise<Generation> {
    this.generation = await created;
    await this.generation.start();
    return this.generation;
  }
}
