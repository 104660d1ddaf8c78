import type { Policy } from "countersign-origin";

/** What a configuration is made from: the state of an origin's trust, and the server's own addresses and files. */
export interface OriginState {
  readonly listen: { readonly host: string; readonly port: number };
  readonly to: { readonly host: string; readonly port: number };
  readonly serverName: string | undefined;
  /** Absolute paths. */
  readonly cert: string;
  readonly key: string;
  /** CAs of callers, PEM; `bundleFile` is a file with them, for servers that read only files. */
  readonly authorities: readonly string[];
  readonly bundleFile: string;
  /** Hexadecimal, upper case, without leading zeros. */
  readonly revoked: readonly string[];
  /** PEM, for servers that cannot look up a serial number. Null: there is none. */
  readonly crl: string | null;
  readonly policy: Policy;
  readonly account: string | undefined;
  /** The command that starts the sidecar, for a server that cannot itself decide by a certificate. */
  readonly sidecar: string;
}

/** A server that can be configured. */
export interface OriginServer {
  /** The name of the configuration file. */
  readonly file: string;
  /** Whether it reads the CAs from a separate file. */
  readonly needsBundle: boolean;
  /** Whether it checks revocations with a CRL. */
  readonly needsCrl: boolean;
  /** @throws Failure `origin_config_inexpressible` if the server cannot express the policy */
  render(state: OriginState): string;
}

/** Codes and sentences of refusals, the same as those of `authorize` in countersign-origin. */
export const refusals = {
  certificate_missing: "this server wants a client certificate, and none was presented",
  certificate_untrusted: "the client certificate is not from a CA that this server trusts",
  certificate_expired: "the client certificate has expired",
  certificate_not_yet_valid: "the client certificate is not valid yet: the clocks may differ",
  certificate_revoked: "the client certificate was revoked",
  caller_not_named: "no rule names this caller",
  method_not_allowed: "no rule lets this caller use this method",
  path_not_allowed: "no rule lets this caller use this method on this path",
} as const;

export type RefusalCode = keyof typeof refusals;

export function refusalAnswer(code: RefusalCode): string {
  return JSON.stringify({ error: { code, message: refusals[code] } });
}

/** `[::1]:3000` */
export function hostPort({ host, port }: OriginState["to"]): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Quotes one word for a file of nginx or Caddy. */
export function doubleQuoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** Quotes one word for a file of HAProxy. */
export function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
