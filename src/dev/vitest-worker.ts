// Runs inside a Worker: it must not import anything of Node's.
import type { OriginFaults } from "./origin.ts";
import type { SeenRequest } from "./seen.ts";

/** An origin of `mtlsOrigin()`, seen from a test that runs inside a Worker. */
export interface RemoteOrigin {
  url(): Promise<string>;
  /** Every accepted request, in order. */
  requests(): Promise<readonly SeenRequest[]>;
  /** From now on, new connections meet these faults. `{}` ends all faults. */
  fail(faults: OriginFaults): Promise<void>;
}

/** @param env the test's `env`, with the binding made by `originControl()` */
export function originOf(env: object): RemoteOrigin {
  const ask = async (question: { readonly fail?: OriginFaults }): Promise<Answer> => {
    const { COUNTERSIGN_ORIGIN: origin } = env as { COUNTERSIGN_ORIGIN?: Fetcher };
    if (origin === undefined) {
      throw new Error("put ...originControl(origin) into serviceBindings of vitest.config.ts");
    }
    const body = JSON.stringify(question);
    const response = await origin.fetch("http://origin/", { method: "POST", body });
    return (await response.json()) as Answer;
  };
  return {
    url: async () => (await ask({})).url,
    requests: async () => (await ask({})).requests,
    fail: async (faults) => {
      await ask({ fail: faults });
    },
  };
}

interface Answer {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
}

interface Fetcher {
  fetch(url: string, init: { method: string; body: string }): Promise<{ json(): Promise<unknown> }>;
}
