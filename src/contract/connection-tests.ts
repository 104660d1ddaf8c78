import type { HandshakeReport } from "./handshake-report.ts";

/** What the gateway tries with an origin or a database, for the edge and for who asks it. */
export interface ConnectionTests {
  /**
   * One handshake with the origin of `url`, step by step. The key stays in the gateway. Asked once,
   * for an origin may be what ends the gateway.
   * @param signal aborts when nobody waits for the report any more
   * @throws Failure if the certificate cannot be presented, or the URL is none, or
   * `edge_process_ended`; what the origin does is in the report
   */
  testHandshake(
    accountId: string,
    certificateId: string,
    url: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport>;
  /**
   * The same with a Hyperdrive configuration's database, and a sign-in.
   * @param scriptName whose identity is presented, where the configuration says so
   * @throws Failure `database_gone`, or why the certificate cannot be presented
   */
  testDatabase(
    accountId: string,
    databaseId: string,
    scriptName: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport>;
}
