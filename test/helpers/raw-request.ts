import { request } from "node:http";
import type { Readable } from "node:stream";

export interface RawRequest {
  readonly method: string;
  /** The target exactly as sent; `fetch` would normalise it. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | Readable;
}

export interface RawAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** A request whose path, headers and body are sent exactly as given. */
export function rawRequest({ method, url, headers, body }: RawRequest): Promise<RawAnswer> {
  const { origin } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = request(origin, {
      method,
      path: url.slice(origin.length),
      headers: { ...headers },
    });
    let answered = false;
    sent.on("response", (response) => {
      answered = true;
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => {
        const type = response.headers["content-type"] ?? "";
        resolve({ status: response.statusCode ?? 0, type, text });
      });
    });
    sent.on("error", (error) => {
      // A server that refuses a body early may close while it is still being sent.
      if (!answered) reject(error);
    });
    // Node does not frame the body of a DELETE by itself.
    const isWhole = typeof body === "string" || body instanceof Uint8Array;
    if (isWhole && method === "DELETE") sent.setHeader("content-length", Buffer.byteLength(body));
    if (body === undefined || isWhole) {
      sent.end(body);
    } else {
      body.on("error", () => sent.destroy());
      body.pipe(sent);
    }
  });
}
