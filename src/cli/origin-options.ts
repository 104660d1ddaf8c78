import type { Destination } from "countersign-origin/sidecar";
import { Failure } from "../failures/failures.ts";
import { unbracketed } from "../network/unbracketed.ts";

/** `127.0.0.1:8443`, `[::1]:0` */
export function readListen(
  text: string,
  wrong: (message: string) => Failure = malformed,
): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw wrong(`--listen "${text}" is not host:port, as 127.0.0.1:8443`);
  }
  return { host, port };
}

export function readDestination(
  text: string,
  wrong: (message: string) => Failure = malformed,
): Destination {
  const url = URL.parse(text);
  const protocol = url?.protocol;
  if (url === null || (protocol !== "http:" && protocol !== "tcp:") || url.hostname === "") {
    throw wrong(`--to "${text}" is not http://host:port or tcp://host:port`);
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== "" || url.username !== "") {
    throw wrong(`--to "${text}" has more than a host and a port; paths are passed on as they are`);
  }
  if (protocol === "tcp:" && url.port === "") throw wrong(`--to "${text}" has no port`);
  const host = unbracketed(url.hostname);
  return { protocol: protocol === "tcp:" ? "tcp" : "http", host, port: Number(url.port || 80) };
}

export function malformed(message: string): Failure {
  return new Failure("sidecar_option_malformed", { message });
}
