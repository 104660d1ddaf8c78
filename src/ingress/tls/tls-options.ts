import type { Server, SecureContextOptions } from "node:tls";

/** What the ingress speaks: TLS 1.3, and of 1.2 what has forward secrecy and authenticated encryption. */
export const TLS_OPTIONS: SecureContextOptions = {
  minVersion: "TLSv1.2",
  honorCipherOrder: true,
  ciphers: [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ].join(":"),
};

/** Node tells of a handshake that failed or took too long, and leaves its connection open. */
export function endFailedHandshakes(server: Server): void {
  server.on("tlsClientError", (_, socket) => socket.destroy());
}
