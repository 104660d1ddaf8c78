import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import type { TestCertificate } from "./pki.ts";

export interface SessionTo {
  /** The port on this machine. */
  readonly port: number;
  /** PEM. */
  readonly ca: string;
  /** Null: none is presented. */
  readonly pair: Pick<TestCertificate, "chain" | "key"> | null;
}

/** An HTTP/2 session with a host of the ingress, with the host as SNI. Its errors show at its requests. */
export function http2Session(host: string, { port, ca, pair }: SessionTo): ClientHttp2Session {
  return connectHttp2(`https://${host}:${port}`, {
    createConnection: () =>
      connectTls({
        host: "127.0.0.1",
        port,
        servername: host,
        ca,
        ALPNProtocols: ["h2"],
        ...(pair && { cert: pair.chain, key: pair.key }),
      }),
  }).on("error", () => {});
}
