import type { ControlContext } from "../api/context.ts";

/** How long an uploaded version keeps running, ms: wrangler deploys it right after the upload. */
const WARM_FOR_MS = 10_000;

/** Versions that run beside the deployed ones, until they are deployed or given up. */
export class StagedVersions {
  readonly #context: Pick<ControlContext, "edge" | "log">;
  readonly #warm = new Map<string, NodeJS.Timeout>();

  constructor(context: Pick<ControlContext, "edge" | "log">) {
    this.#context = context;
  }

  /** For a version that is uploaded and not deployed: wrangler may deploy it at once. */
  keepWarm(versionId: string): void {
    const timer = setTimeout(() => {
      this.#warm.delete(versionId);
      void this.discard(versionId);
    }, WARM_FOR_MS).unref();
    this.#warm.set(versionId, timer);
  }

  /** If `work` fails, the versions that were started for it are ended. */
  async orDiscard<T>(staged: readonly string[], work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      for (const versionId of staged) await this.discard(versionId);
      throw error;
    }
  }

  async discard(versionId: string): Promise<void> {
    const { edge, log } = this.#context;
    try {
      await edge.discard(versionId);
    } catch (error) {
      log.error({ err: error, versionId }, "a version that was not deployed could not be stopped");
    }
  }

  /** Whether the version still runs. It is then no longer ended by its timer. */
  takeWarm(versionId: string): boolean {
    clearTimeout(this.#warm.get(versionId));
    return this.#warm.delete(versionId);
  }
}
