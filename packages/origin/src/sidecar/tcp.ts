import { connect } from "node:net";
import { pipeline } from "node:stream";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { isRefusal } from "../authorizer.ts";
import type { Action } from "../decide.ts";
import { proveSocket } from "../tls.ts";
import type { Shared } from "./sidecar.ts";

/**
 * A raw connection has no method and no path. A rule lets it in if the rule names neither, or names the method CONNECT.
 */
export const RAW: Action = { method: "CONNECT", path: "" };

/** Passes the bytes of each connection on to one service, both ways, with half-closed ends. */
export function createTcpServer(options: TlsOptions, shared: Shared): Server {
  const server = createServer({ ...options, allowHalfOpen: true }, (client) =>
    serve(client, shared),
  );
  // After a failed or slow handshake Node emits this event, and leaves the connection open.
  server.on("tlsClientError", (_, socket) => socket.destroy());
  return server;
}

function serve(client: TLSSocket, { to, trust, clock, authorizer, live, log }: Shared): void {
  client.on("error", () => {});
  // Two pipelines and this file add listeners: more than the ten at which Node warns of a leak.
  client.setMaxListeners(20);
  const judged = authorizer.judge(proveSocket(client, trust, clock()), RAW);
  if (judged === null || isRefusal(judged)) {
    client.destroy();
    return;
  }
  const upstream = connect({ host: to.host, port: to.port, allowHalfOpen: true, noDelay: true });
  let isOpen = false;
  upstream.once("connect", () => (isOpen = true));
  const ended = live.add({
    socket: client,
    action: RAW,
    cut: (why) => {
      log(`cut a connection of ${judged.spiffeId ?? judged.certificate.subject}: ${why}`);
      client.destroy();
      upstream.destroy();
    },
  });
  const both = (error?: Error | null): void => {
    if (!error) return;
    if (!isOpen && !upstream.destroyed) upstream.destroy();
    client.destroy();
    upstream.destroy();
  };
  upstream.once("error", (error: NodeJS.ErrnoException) => {
    if (!isOpen) log(`the service behind is not reached: ${error.code ?? error.message}`);
  });
  client.once("close", () => {
    ended();
    upstream.destroy();
  });
  pipeline(client, upstream, both);
  pipeline(upstream, client, both);
}
