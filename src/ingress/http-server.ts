import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Server as NetServer } from "node:net";
import { CONNECTION_BUFFER, HEADER_BUFFER } from "../forward/limits.ts";
import type { Answers, Arrival } from "./answers.ts";
import { guarded } from "../forward/guarded.ts";
import { responseOn } from "../forward/sockets.ts";
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
  // Those beyond Node's 2,000 would be dropped without a word: their size is what is limited.
  server.maxHeadersCount = 0;
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    guarded(response, () => answers.answer(request, response, arrived(request)))();
  };
  return (
    server
      .on("request", answer)
      .on("checkContinue", (request, response) => {
        guarded(response, () =>
          answers.answer(request, response, { ...arrived(request), expectsContinue: true }),
        )();
      })
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
 * ms that a connection may be idle, as with nginx: proxies before us keep theirs for a minute at most, and
 * whoever gives up first must not be the server, for a request may be on its way.
 */
const KEPT = 75_000;

const HEAD_TIMES: HeadTimes = { head: 60_000, check: 10_000 };

/**
 * Accepts nothing new; resolves when the last request has ended.
 * @param listening whose connections they are. Default: its own
 */
export async function closeWhenIdle(server: Server, listening: NetServer = server): Promise<void> {
  const closed = new Promise<void>((resolve) => listening.close(() => resolve()));
  // A connection is idle again after its last response: those that are by now go with it.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  await closed;
  clearInterval(sweep);
  // Of one that does not listen itself: no more looks at heads that are late.
  if (listening !== server) server.close();
}
