import { resolve } from "node:path";
import { Failure } from "../failures/failures.ts";
import { writeJson, type Io } from "../terminal/io.ts";
import { proxies, type ProxySettings, type Target } from "./ingress-config/proxies.ts";
import { hostPort } from "./origin-config/server.ts";
import { readDestination, readListen } from "./origin-options.ts";

export interface IngressFlags {
  readonly to: string;
  readonly ownPort?: true;
  readonly host?: string;
  readonly listen?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly json?: true;
}

/** Prints the configuration of a proxy in front of a Worker's socket or port, or of the ingress. */
export function configureIngress(io: Io, name: string, flags: IngressFlags): void {
  const proxy = proxies[name]!;
  const { file } = proxy;
  const configuration = proxy.render(readFront(io.cwd, flags));
  if (flags.json) writeJson(io.stdout, { server: name, file, configuration });
  else io.stdout.write(configuration);
}

function readFront(cwd: string, flags: IngressFlags): ProxySettings {
  const { to, ownPort = false, host, listen, cert, key } = flags;
  if ((cert === undefined) !== (key === undefined)) {
    throw malformed("TLS needs both --cert and --key");
  }
  if (host !== undefined && !isHostName(host)) {
    throw malformed(`--host ${shown(host)} is not a host name, as shop.example`);
  }
  const tls =
    cert === undefined || key === undefined
      ? null
      : { cert: path("--cert", resolve(cwd, cert)), key: path("--key", resolve(cwd, key)) };
  return {
    listen: readAddress(listen ?? (tls === null ? "80" : "443")),
    host: host?.toLowerCase() ?? null,
    tls,
    to: readTarget(to, ownPort),
  };
}

function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i.test(text)
  );
}

function readAddress(text: string): ProxySettings["listen"] {
  const address = readListen(/^\d+$/.test(text) ? `0.0.0.0:${text}` : text, malformed);
  if (address.port === 0) throw malformed("--listen needs a port: clients have to know it");
  if (!/^[A-Za-z0-9.:-]+$/.test(address.host)) {
    throw malformed(`--listen ${shown(text)} has an odd character`);
  }
  return address;
}

function readTarget(text: string, isWorker: boolean): Target {
  if (text.startsWith("unix:")) {
    if (isWorker)
      throw malformed("--own-port is for --to http://host:port; a socket is a Worker's own");
    const socket = text.slice("unix:".length);
    if (!socket.startsWith("/")) throw malformed(`--to ${shown(text)} is not unix:/path`);
    return { path: path("--to", socket) };
  }
  const { protocol, host, port } = readDestination(text, malformed);
  if (protocol !== "http") throw malformed("--to is unix:/path or http://host:port");
  if (!/^[A-Za-z0-9.:-]+$/.test(host)) throw malformed(`--to ${shown(text)} has an odd character`);
  return { address: hostPort({ host, port }), isWorker };
}

/** These characters have a meaning in the configuration of all three servers. */
function path(flag: string, text: string): string {
  if (!/^[\w./@+=-]+$/.test(text)) {
    throw malformed(`the path of ${flag} ${shown(text)} has an odd character`);
  }
  return text;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 300));
}

function malformed(message: string): Failure {
  return new Failure("ingress_config_malformed", { message });
}
