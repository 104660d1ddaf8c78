import { createHash, type X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { showCertificate } from "../certificates/shown.ts";

/** One request, as the origin saw it. */
export interface SeenRequest {
  readonly client: SeenCertificate | null;
  readonly tls: {
    /** `TLSv1.3` */
    readonly version: string | null;
    readonly cipher: string;
    readonly resumed: boolean;
  };
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Null: the body was passed on unread. */
  readonly body: SeenBody | null;
}

export interface SeenBody {
  readonly bytes: number;
  /** 64 lower case hex digits. */
  readonly sha256: string;
}

export interface SeenCertificate {
  /** `CN=client,O=Acme`. Empty: the certificate has no subject. */
  readonly subject: string;
  readonly issuer: string;
  /** `DNS:api.example.com`, `URI:spiffe://…` */
  readonly names: readonly string[];
  /** The URI name that is a SPIFFE ID, if there is exactly one. */
  readonly spiffeId: string | null;
  readonly serialNumber: string;
  /** SHA-256, 64 lower case hex digits. */
  readonly fingerprint: string;
  /** ISO 8601, or `unreadable`. */
  readonly notAfter: string;
}

/** Reads the whole body, and keeps only its length and hash. */
export async function seeWhole(request: IncomingMessage): Promise<SeenRequest> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    hash.update(chunk);
  }
  return { ...seeHead(request), body: { bytes, sha256: hash.digest("hex") } };
}

export function seeHead(request: IncomingMessage): SeenRequest {
  const socket = request.socket as TLSSocket;
  return {
    client: clientOf(socket),
    tls: {
      version: socket.getProtocol(),
      cipher: socket.getCipher().standardName,
      resumed: socket.isSessionReused(),
    },
    method: request.method ?? "",
    path: request.url ?? "",
    headers: Object.fromEntries(
      Object.entries(request.headers).filter((entry) => entry[1] !== undefined),
    ) as SeenRequest["headers"],
    body: null,
  };
}

/** Null: the client presented none. */
export function clientOf(socket: TLSSocket): SeenCertificate | null {
  const certificate = socket.getPeerX509Certificate();
  return certificate ? describe(certificate) : null;
}

function describe(certificate: X509Certificate): SeenCertificate {
  const { notBefore: _, ...shown } = showCertificate(certificate);
  const spiffe = shown.names.find((name) => name.startsWith("URI:spiffe://"));
  return { ...shown, spiffeId: spiffe?.slice("URI:".length) ?? null };
}
