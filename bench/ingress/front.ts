import type { TestAuthority, TestCertificate } from "../../test/helpers/pki.ts";
import type { Lab } from "../lab.ts";
import type { ClientTls } from "../load/load.ts";

/** How clients come in. */
export const WAYS = ["HTTP", "HTTPS", "HTTPS, client certificate"] as const;
export type Way = (typeof WAYS)[number];

/** The host that every front answers for. */
export const HOST = "bench.example";

/** A server that clients reach, before the one Worker. */
export interface Front {
  readonly name: string;
  readonly what: string;
  /** The process at the root of its own. */
  readonly pid: number;
  readonly ports: Readonly<Record<Way, number>>;
  /** Before clients come this way. */
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

/** What one front is put through once. */
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
    /** Chain and key in one, as HAProxy wants it. */
    readonly both: string;
  };
}

/**
 * What a client is told. One cipher and one group, which all fronts know: OpenSSL and Go would each
 * choose others, and of them only Node's OpenSSL a post-quantum one.
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
