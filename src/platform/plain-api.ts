import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { failure } from "../control/api/envelope.ts";
import { Failure } from "../failures/failures.ts";
import { peek } from "../network/peek.ts";
import { withinPipeline } from "../network/pipelined.ts";

/** The first byte of a TLS handshake. No HTTP method begins with it. */
const HANDSHAKE = 22;

interface PlainOptions {
  readonly times: { readonly headersTimeout: number; readonly requestTimeout: number };
  /** The origin at which the same is served over TLS. */
  secure(this: void): string;
  readonly log: Logger;
}

/**
 * Answers clients that speak plain HTTP to a TLS server; without this they would get an alert that no client explains.
 * A page without credentials is redirected. Everything else is refused: a redirect would hide that a token crossed the
 * network in clear, and clients would go on sending it.
 */
export function answerPlain(server: Server, options: PlainOptions): Disposable {
  const plain = createServer(
    options.times,
    withinPipeline((request, response) => {
      response.shouldKeepAlive = false;
      void answer(request, response, options);
    }),
  );
  const secure = server.listeners("connection") as ((socket: Socket) => void)[];
  const silent = new Set<Socket>();
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    silent.add(socket);
    socket.once("close", () => silent.delete(socket));
    peek(
      socket,
      (bytes) => ({ found: bytes[0] === HANDSHAKE, rest: bytes }),
      (isHandshake) => {
        silent.delete(socket);
        if (!isHandshake) plain.emit("connection", socket);
        else for (const listener of secure) listener.call(server, socket);
      },
    );
  });
  return {
    [Symbol.dispose]: () => {
      for (const socket of silent) socket.destroy();
      plain.closeAllConnections();
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { secure, log }: PlainOptions,
): Promise<void> {
  const { method, url = "/", headers } = request;
  const isPage = method === "GET" && !url.startsWith("/client/") && !headers.authorization;
  const to = isPage && url.startsWith("/") ? URL.parse(secure() + url) : null;
  if (to !== null) {
    response.writeHead(308, { location: to.href, "content-length": 0 }).end();
    return;
  }
  const refused = failure(
    new Failure("api_https_only", {
      message: `the API answers at ${secure()} alone, and this request was plain HTTP`,
      facts: { url: secure() },
    }),
    log,
  );
  const body = await refused.text();
  response.writeHead(refused.status, Object.fromEntries(refused.headers)).end(body);
}
