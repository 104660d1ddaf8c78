import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { StorageAnswer, StorageRequest } from "../../contract/storage.ts";
import { connectInside } from "../../process/folder-socket.ts";

export interface Asked extends Pick<StorageRequest, "method" | "path" | "headers" | "body"> {
  readonly folder: string;
  /** In the folder. */
  readonly socket: string;
  /** ms without a byte. Default: 60,000. */
  readonly timeout?: number;
}

/** One request over a socket, whose path may be longer than a socket's. */
export function ask(asked: Asked): Promise<StorageAnswer> {
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
      // It may fail before anybody reads it, and tells who reads it then.
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
      // The reason why a body ends early is the sender's; what the socket says of it is not.
      pipeline(Readable.from(body), sent).catch(reject);
    }
  });
}
