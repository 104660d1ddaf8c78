import { request } from "node:http";
import { text } from "node:stream/consumers";
import type { TestEdge } from "./edge.ts";

const WORKERS = 4;

/**
 * Sends requests, one after the other on each of a few connections, while `task` runs and for a moment before and
 * after. Answers other than 200 are collected in `failed`.
 */
export async function loadDuring(
  edge: TestEdge,
  host: string,
  paths: readonly string[],
  task: () => Promise<void>,
): Promise<{ failed: readonly string[] }> {
  const failed: string[] = [];
  let answered = 0;
  const stop = new AbortController();
  const enough = Promise.withResolvers<void>();
  const send = async (first: number): Promise<void> => {
    for (let i = first; !stop.signal.aborted; i++) {
      const path = paths[i % paths.length]!;
      try {
        const answer = await edge.fetch(host, path);
        if (answer.status !== 200) failed.push(`${path}: ${answer.status} ${answer.text}`);
      } catch (error) {
        failed.push(`${path}: ${String(error)}`);
      }
      if (++answered === 20) enough.resolve();
    }
  };
  const workers = Array.from({ length: WORKERS }, (_, index) => send(index));
  await enough.promise;
  try {
    await task();
    await Promise.all(paths.map((path) => edge.fetch(host, path)));
  } finally {
    stop.abort();
    await Promise.all(workers);
  }
  return { failed };
}

/** An upload whose last piece is sent by `finish`, which resolves with the answer. */
export function slowUpload(edge: TestEdge, host: string): { finish(): Promise<string> } {
  const answer = Promise.withResolvers<string>();
  const upload = request(
    { port: edge.edge.httpPort, host: "127.0.0.1", method: "POST", headers: { host } },
    (response) => {
      text(response).then(answer.resolve, answer.reject);
    },
  ).on("error", answer.reject);
  upload.write("first ");
  return {
    finish: () => {
      upload.end("last");
      return answer.promise;
    },
  };
}
