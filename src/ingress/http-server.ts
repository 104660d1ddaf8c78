import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { CONNECTION_BUFFER, HEADER_BUFFER } from "../forward/limits.ts";
import type { Answers } from "./answers.ts";
import type { Arrival } from "./elsewhere.ts";
import { guarded } from "../forward/guarded.ts";
import { SteadyRequest } from "../forward/steady-request.ts";
import { responseOn } from "../forward/sockets.ts";
import { withinPipeline } from "../network/pipelined.ts";
import { newRay } from "../failures/rendered.ts";
import type { Duplex } from "node:stream";
import { refuse } from "./refuse.ts";

/**
 * A server of HTTP/1.1 that hands its requests to `answers`.
 * @param arrived says how a request came
 * @param times how long a client has for the head of a request
 */
export function createHttpServer(
  answers: Answers,
  arrived: (request: IncomingMessage) => Arrival,
  times: HeadTimes = HEAD_TIMES,
): Server {
  const server = createServer({
    IncomingMessage: SteadyRequest,
    headersTimeout: times.head,
    connectionsCheckingInterval: times.check,
    maxHeaderSize: HEADER_BUFFER,
    highWaterMark: CONNECTION_BUFFER,
    insecureHTTPParser: false,
    // Node's own answer would be an empty one.
    requireHostHeader: false,
    // Other protocols that a client offers, as curl does HTTP/2, may be ignored.
    shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
  });
  // A Worker may take in an upload, or stream an answer, for as long as it likes.
  server.requestTimeout = 0;
  server.keepAliveTimeout = KEPT;
  // Node would silently drop headers after the first 2,000. Their size is limited instead.
  server.maxHeadersCount = 0;
  const answer = withinPipeline((request, response) => {
    guarded(response, () => answers.answer(request, response, arrived(request)))();
  });
  return (
    server
      .on("request", answer)
      .on(
        "checkContinue",
        withinPipeline((request, response) => {
          guarded(response, () =>
            answers.answer(request, response, { ...arrived(request), expectsContinue: true }),
          )();
        }),
      )
      // An expectation that is not known may be passed over (RFC 9110, section 10.1.1).
      .on("checkExpectation", answer)
      .on("connect", (request: IncomingMessage, socket: Duplex) => {
        const refused = (): void =>
          refuse(request, responseOn(socket, request), "request_malformed", newRay());
        guarded(socket, refused)();
      })
      .on("upgrade", (request, socket, head) => {
        guarded(socket, () => answers.upgrade(request, socket, head, arrived(request)))();
      })
      .on("clientError", (error, socket) => {
        guarded(socket, () => answers.unread(error, socket))();
      })
  );
}

export interface HeadTimes {
  /** ms for the head of a request: what is later is answered 408 */
  readonly head: number;
  /** ms between two looks at who is late */
  readonly check: number;
}

/**
 * ms that a connection may be idle, as with nginx. Proxies in front keep idle connections for a
 * minute at most. The server must not be the first to close one, because a request may be on its
 * way.
 */
const KEPT = 75_000;

const HEAD_TIMES: HeadTimes = { head: 60_000, check: 10_000 };

/**
 * Accepts nothing new; resolves when the last request has ended.
 * @param listening whose connections they are. Default: its own
 */
export async function closeWhenIdle(server: Server, listening: NetServer = server): Promise<void> {
  const closed = new Promise<void>((resolve) => listening.close(() => resolve()));
  // A connection is idle after its last response. Connections that are idle now are closed, too.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  await closed;
  clearInterval(sweep);
  // For a server that does not listen itself: stops the timer for late heads.
  if (listening !== server) server.close();
}
