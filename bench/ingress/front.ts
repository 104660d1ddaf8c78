import type { TestAuthority, TestCertificate } from "../../test/helpers/pki.ts";
import type { Lab } from "../lab.ts";
import type { ClientTls } from "../load/load.ts";

/** How clients connect. */
export const WAYS = ["HTTP", "HTTPS", "HTTPS, client certificate"] as const;
export type Way = (typeof WAYS)[number];

/** The host that every front answers for. */
export const HOST = "bench.example";

/** A server that clients connect to, in front of the one Worker. */
export interface Front {
  readonly name: string;
  readonly what: string;
  /** The root of the front's process tree. */
  readonly pid: number;
  readonly ports: Readonly<Record<Way, number>>;
  /** Called before clients connect in this way. */
  readonly prepare?: (way: Way) => Promise<void>;
}

export interface FrontSurroundings {
  readonly lab: Lab;
  readonly material: IngressMaterial;
  /** The Worker's Unix socket: an absolute path. */
  readonly worker: string;
  /** Connections of clients at once. */
  readonly connections: number;
}

/** One measurement of one front. */
export interface FrontOrder {
  readonly front: Front;
  readonly way: Way;
  /** At once. */
  readonly connections: number;
  readonly seconds: number;
  readonly workerPid: number;
  readonly material: IngressMaterial;
  readonly signal: AbortSignal;
}

export interface IngressMaterial {
  readonly authority: TestAuthority;
  readonly server: TestCertificate;
  readonly client: TestCertificate;
  readonly files: {
    readonly authority: string;
    readonly chain: string;
    readonly key: string;
    /** Chain and key in one file, for HAProxy. */
    readonly both: string;
  };
}

/**
 * TLS options of a client. One cipher and one group that all fronts support; otherwise OpenSSL and Go would choose
 * different ones, and only Node's OpenSSL a post-quantum group.
 */
export function clientTls({ authority, client }: IngressMaterial, way: Way): ClientTls | undefined {
  if (way === "HTTP") return undefined;
  return {
    servername: HOST,
    ca: authority.pem,
    ciphers: "TLS_AES_128_GCM_SHA256",
    ecdhCurve: "X25519",
    ...(way === "HTTPS" ? {} : { cert: client.chain, key: client.key }),
  };
}
