import {
  Agent,
  STATUS_CODES,
  request as send,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import { pipeline, type Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { isRefusal, refusalBody, type Refusal } from "../authorizer.ts";
import { refuse } from "../adapters/node.ts";
import type { Caller } from "../caller.ts";
import type { Action } from "../decide.ts";
import { proveSocket } from "../tls.ts";
import { endToEnd, identityHeaders, withHeader, withoutIdentity } from "./headers.ts";
import type { Shared } from "./sidecar.ts";

/** A request that ends within this time is answered, whatever has changed since it was let in, ms. */
const GRACE = 500;

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that passes on each request that the policy allows, with headers that name the caller. */
export function createHttpServer(
  options: ServerOptions,
  shared: Shared,
  bounded: (answer: Answer) => Answer = (answer) => answer,
): { readonly server: Server; readonly stopIdle: () => void } {
  const agent = new Agent({ keepAlive: true });
  // Uploads may take any time; the head of a request may not.
  const server = createServer({ ...options, requestTimeout: 0, headersTimeout: 30_000 });
  // A request that cannot be sent on must not end the whole server.
  const take = bounded((request, response) => {
    try {
      pass(request, response, shared, agent);
    } catch {
      badGateway(response, "request_malformed", "the request cannot be passed on");
    }
  });
  server.on("request", take);
  server.on("checkContinue", take);
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    try {
      upgrade(request, socket as TLSSocket, head, shared);
    } catch {
      socket.destroy();
    }
  });
  // After a failed or slow handshake Node emits this event, and leaves the connection open.
  server.on("tlsClientError", (_, socket) => socket.destroy());
  server.once("close", () => agent.destroy());
  return { server, stopIdle: () => server.closeIdleConnections() };
}

function pass(
  request: IncomingMessage,
  response: ServerResponse,
  shared: Shared,
  agent: Agent,
): void {
  const socket = request.socket as TLSSocket;
  const action = actionOf(request);
  const judged = judge(socket, action, shared);
  if (isRefusal(judged)) return refuse(response, judged);
  if (/^100-continue$/i.test(request.headers.expect ?? "")) response.writeContinue();
  const headers = headersFor(request, socket, judged);
  const isRepeatable = !hasBody(request) && ["GET", "HEAD", "OPTIONS"].includes(action.method);
  let current: ReturnType<typeof send> | undefined;
  const ended = shared.live.add({
    socket,
    action,
    grace: GRACE,
    cut: (why) => cut(shared, judged, socket, why),
  });
  response.once("close", () => {
    ended();
    if (!response.writableFinished) current?.destroy();
  });

  const attempt = (mayRepeat: boolean): void => {
    const { host, port } = shared.to;
    const path = originForm(request.url ?? "/");
    const upstream = send({ host, port, method: action.method, path, headers, agent });
    current = upstream;
    upstream.once("response", (answer) => respond(answer, response, shared));
    upstream.once("upgrade", (_, raw) => {
      raw.destroy();
      badGateway(response, "upstream_malformed", "the service behind changed the protocol unasked");
    });
    upstream.once("error", (error: NodeJS.ErrnoException) => {
      if (response.closed || response.destroyed) return;
      // The service had just closed this kept connection, so it has handled nothing of the request.
      if (mayRepeat && upstream.reusedSocket && error.code === "ECONNRESET") return attempt(false);
      if (response.headersSent) return void response.destroy();
      badGateway(response, "upstream_unreachable", sentenceOf(error));
    });
    if (isRepeatable) upstream.end();
    else request.pipe(upstream);
  };
  attempt(isRepeatable);
}

function respond(answer: IncomingMessage, response: ServerResponse, shared: Shared): void {
  response.sendDate = false;
  try {
    const headers = endToEnd(answer.rawHeaders);
    if (shared.isClosing()) headers.push("Connection", "close");
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", headers);
  } catch {
    answer.destroy();
    return badGateway(response, "upstream_malformed", "the answer of the service is not HTTP");
  }
  // Sends the head before the first byte of the body, so the client of a stream sees it at once.
  response.flushHeaders();
  pipeline(answer, response, (error) => {
    if (error) response.destroy();
  });
}

/** A WebSocket upgrade: judged like a request, and cut when the judgement changes. */
function upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer, shared: Shared): void {
  socket.on("error", () => {});
  const action = actionOf(request);
  const judged = judge(socket, action, shared);
  if (isRefusal(judged)) return answerRaw(socket, judged.status, refusalBody(judged));
  // With another protocol, such as h2c, requests would follow that nobody judges.
  if (!/^websocket$/i.test(request.headers.upgrade ?? "")) {
    const code = "upgrade_not_supported";
    const message = "this server passes on upgrades to websocket alone";
    return answerRaw(socket, 501, JSON.stringify({ error: { code, message } }));
  }
  const { host, port } = shared.to;
  const headers = headersFor(request, socket, judged);
  headers.push("Connection", "Upgrade", "Upgrade", request.headers.upgrade ?? "");
  const path = originForm(request.url ?? "/");
  const upstream = send({ host, port, method: action.method, path, headers, agent: false });
  const ended = shared.live.add({ socket, action, cut: (why) => cut(shared, judged, socket, why) });
  socket.once("close", () => {
    ended();
    upstream.destroy();
  });
  upstream.once("upgrade", (answer, raw, first) => {
    raw.on("error", () => {});
    socket.write(headOf(answer, true));
    if (first.length > 0) socket.write(first);
    if (head.length > 0) raw.write(head);
    pipeline(raw, socket, () => socket.destroy());
    pipeline(socket, raw, () => raw.destroy());
  });
  upstream.once("response", (answer) => {
    // The service refused the upgrade with an HTTP response. It is passed on without framing, so closing the connection
    // ends it.
    socket.write(headOf(answer, false));
    pipeline(answer, socket, () => socket.destroySoon());
  });
  upstream.once("error", (error) => {
    const refusal = { code: "upstream_unreachable", message: sentenceOf(error) };
    answerRaw(socket, 502, JSON.stringify({ error: refusal }));
  });
  upstream.end();
}

function judge(socket: TLSSocket, action: Action, shared: Shared): Caller | Refusal {
  const judged = shared.authorizer.judge(proveSocket(socket, shared.trust, shared.clock()), action);
  // The sidecar does not set `dryRun`, so `judge` lets no unproven caller in.
  if (judged === null) throw new TypeError("a caller without proof was let in");
  return judged;
}

function cut(shared: Shared, caller: Caller, socket: TLSSocket, why: string): void {
  shared.log(`cut a request of ${caller.spiffeId ?? caller.certificate.subject}: ${why}`);
  socket.destroy();
}

function actionOf(request: IncomingMessage): Action {
  return { method: request.method ?? "", path: request.url ?? "" };
}

function headersFor(request: IncomingMessage, socket: TLSSocket, caller: Caller): string[] {
  let headers = withoutIdentity(endToEnd(request.rawHeaders));
  const authority = /^https?:\/\/([^/?#]*)/i.exec(request.url ?? "")?.[1];
  if (authority !== undefined) headers = withHeader(headers, "Host", authority);
  headers = headers.filter((_, i) => headers[i - (i % 2)]!.toLowerCase() !== "expect");
  const before = request.headers["x-forwarded-for"];
  const address = socket.remoteAddress ?? "unknown";
  const forwardedFor = before === undefined ? address : `${String(before)}, ${address}`;
  headers = withHeader(headers, "X-Forwarded-For", forwardedFor);
  headers = withHeader(headers, "X-Forwarded-Proto", "https");
  // Framing is set here, because a GET may have a body and a POST may have none.
  if (request.headers["transfer-encoding"] !== undefined) {
    headers.push("Transfer-Encoding", "chunked");
  } else if (!hasBody(request) && !["GET", "HEAD", "OPTIONS"].includes(request.method ?? "")) {
    headers = withHeader(headers, "Content-Length", "0");
  }
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined
    ? headers
    : [...headers, ...identityHeaders(caller, certificate)];
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** `http://host/path` becomes `/path`, because the service behind is not a proxy. */
function originForm(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, "");
  return path === "" ? "/" : path.startsWith("?") ? `/${path}` : path;
}

function badGateway(response: ServerResponse, code: string, message: string): void {
  if (response.headersSent) return void response.destroy();
  const body = JSON.stringify({ error: { code, message } });
  response.writeHead(502, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    connection: "close",
  });
  response.end(body);
}

function sentenceOf(error: NodeJS.ErrnoException): string {
  return `the service behind does not answer (${error.code ?? "no code"})`;
}

function answerRaw(socket: TLSSocket, status: number, body: string): void {
  if (socket.destroyed) return;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`;
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  socket.write(
    [head, "Content-Type: application/json", length, "Connection: close", "", body].join("\r\n"),
  );
  // Node's server has taken its hands off the connection: one that is only ended stays for as long as the client pleases.
  socket.destroySoon();
}

function headOf(answer: IncomingMessage, isUpgrade: boolean): string {
  const headers = endToEnd(answer.rawHeaders);
  if (isUpgrade) headers.push("Connection", "Upgrade", "Upgrade", answer.headers.upgrade ?? "");
  else headers.push("Connection", "close");
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}
