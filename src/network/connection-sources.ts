import type { IncomingMessage } from "node:http";
import type { Server, Socket } from "node:net";
import { guarded } from "../forward/guarded.ts";
import { takeProxyHeader } from "./proxy-protocol.ts";
import { plainAddress } from "./ranges.ts";
import type { TrustedProxies } from "./trusted-proxies.ts";

/** The address that a request's connection came from: the peer's, or what a trusted proxy said of it. */
export type PeerOf = (request: IncomingMessage) => string | undefined;

/**
 * Lets a server of HTTP, HTTPS or TLS take PROXY protocol headers from trusted proxies, off each
 * connection before the server reads from it.
 */
export function acceptProxyProtocol(server: Server, proxies: TrustedProxies): PeerOf {
  // By the connection, not the socket: TLS wraps another one around it.
  const sources = new Map<string, string>();
  const accept = server.listeners("connection") as ((socket: Socket) => void)[];
  const serve = (socket: Socket): void => {
    for (const listener of accept) listener.call(server, socket);
  };
  server.removeAllListeners("connection");
  const take = (socket: Socket): void => {
    const { remoteAddress } = socket;
    if (remoteAddress === undefined || !proxies.trusts(remoteAddress)) return serve(socket);
    takeProxyHeader(socket, (source) => {
      const key = connectionOf(socket);
      if (source) {
        sources.set(key, plainAddress(source.address));
        socket.once("close", () => sources.delete(key));
      }
      serve(socket);
    });
  };
  server.on("connection", (socket: Socket) => guarded(socket, take)(socket));
  return ({ socket }) => sources.get(connectionOf(socket)) ?? socket.remoteAddress;
}

function connectionOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
