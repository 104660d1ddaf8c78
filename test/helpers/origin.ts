import { createServer, type Server, type ServerOptions } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import type { TestAuthority } from "./pki.ts";

export interface TestOrigin extends AsyncDisposable {
  /** `https://localhost:PORT` */
  readonly url: string;
  readonly port: number;
  readonly server: Server;
  /** Subjects (`CN=…`) of the client certificates of each request answered, in order. */
  readonly subjects: string[];
}

export interface TestOriginOptions {
  readonly authority: TestAuthority;
  /** Default: answers JSON `{subject, method, path, body}`. */
  readonly handler?: (request: IncomingMessage, response: ServerResponse) => void;
  readonly tls?: ServerOptions;
  readonly subject?: string;
  readonly dns?: readonly string[];
}

/** A real TLS server on a free port. In the handshake it refuses clients without a certificate of the CA. */
export async function startOrigin(options: TestOriginOptions): Promise<TestOrigin> {
  const certificate = await options.authority.issue({
    subject: options.subject ?? "CN=localhost",
    dns: options.dns ?? ["localhost"],
    ips: ["127.0.0.1"],
  });
  const subjects: string[] = [];
  const server = createServer(
    {
      key: certificate.key,
      cert: certificate.chain,
      ca: options.authority.pem,
      requestCert: true,
      rejectUnauthorized: true,
      ...options.tls,
    },
    (request, response) => {
      subjects.push(subjectOf(request));
      (options.handler ?? answer)(request, response);
    },
  );
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://localhost:${port}`,
    port,
    server,
    subjects,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function subjectOf(request: IncomingMessage): string {
  const peer = (request.socket as TLSSocket).getPeerX509Certificate();
  return peer?.subject?.replaceAll("\n", ",") ?? "";
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        subject: subjectOf(request),
        method: request.method,
        path: request.url,
        body: Buffer.concat(chunks).toString(),
      }),
    );
  });
}
