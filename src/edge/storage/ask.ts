import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { StorageAnswer, StorageRequest } from "../../contract/storage.ts";
import { connectInside } from "../../process/folder-socket.ts";

export interface SocketRequest extends Pick<
  StorageRequest,
  "method" | "path" | "headers" | "body"
> {
  readonly folder: string;
  /** The socket's path, in the folder. */
  readonly socket: string;
  /** ms without a byte after which the request fails. Default: 60,000. */
  readonly timeout?: number;
}

/** Sends one request over a Unix socket. Its path may be longer than the 107 bytes that a socket's path may have. */
export function ask(asked: SocketRequest): Promise<StorageAnswer> {
  const {
    folder,
    socket,
    method = "GET",
    path = "/",
    headers = {},
    body,
    timeout = 60_000,
  } = asked;
  return new Promise((resolve, reject) => {
    const sent = request({
      method,
      path,
      headers: { host: "storage", ...headers },
      createConnection: () => connectInside(folder, socket),
    });
    sent.setTimeout(timeout, () => sent.destroy(new Error(`no answer after ${timeout / 1000} s`)));
    sent.on("error", reject);
    sent.on("response", (response) => {
      const answered = new Headers();
      for (const [name, value] of Object.entries(response.headers)) {
        answered.set(name, String(value));
      }
      // An answer may fail before anybody reads it; a later reader gets the error then.
      response.on("error", () => {});
      resolve({
        status: response.statusCode ?? 0,
        statusText: response.statusMessage ?? "",
        headers: answered,
        body: response,
      });
    });
    if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
      sent.end(body);
    } else {
      // If the body ends early, the reason is the sender's error, not the socket's.
      pipeline(Readable.from(body), sent).catch(reject);
    }
  });
}
