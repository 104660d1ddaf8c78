import type { TestPlatform } from "../../test/helpers/platform.ts";

export interface Sent {
  readonly worker: string;
  readonly id: string;
  readonly begun: number;
  readonly ended: number;
  readonly status: number;
  readonly body: string;
}

export interface Load {
  /** The answers so far. */
  readonly sent: readonly Sent[];
  stop(): Promise<void>;
}

let number = 0;

/** A and B write and C reads, each as fast as answers come. */
export function startLoad(platform: TestPlatform, origin: string): Load {
  const sent: Sent[] = [];
  const stop = new AbortController();
  const loop = async (worker: string, method: string): Promise<void> => {
    while (!stop.signal.aborted) {
      const id = `${worker}-${++number}`;
      const begun = performance.now();
      const path = method === "POST" ? `/orders/${id}` : "/orders";
      const { status, body } = await call(platform, worker, method, origin + path);
      sent.push({ worker, id, begun, ended: performance.now(), status, body });
    }
  };
  const loops = [
    ...Array.from({ length: 4 }, () => loop("a", "POST")),
    ...Array.from({ length: 2 }, () => loop("b", "POST")),
    loop("c", "GET"),
  ];
  return {
    sent,
    stop: async () => {
      stop.abort();
      await Promise.all(loops);
    },
  };
}

/** Makes a Worker call an origin with its own identity. */
export function call(
  platform: TestPlatform,
  worker: string,
  method: string,
  url: string,
): Promise<{ status: number; body: string }> {
  const query = new URLSearchParams({ method, url });
  return platform.worker(worker, `/call?${query.toString()}`);
}
