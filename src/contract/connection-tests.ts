import type { HandshakeReport } from "./handshake-report.ts";

/** Tests of connections that the gateway makes: to an origin, or to a database. */
export interface ConnectionTests {
  /**
   * One handshake with the origin of `url`, step by step. The key stays in the gateway. The call is
   * not repeated, because the origin may be the reason why the gateway ended.
   * @param signal aborts when the caller no longer waits for the report
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
   * @param scriptName the Worker whose identity is presented, if the configuration presents one
   * @throws Failure `database_gone`, or why the certificate cannot be presented
   */
  testDatabase(
    accountId: string,
    databaseId: string,
    scriptName: string,
    signal?: AbortSignal,
  ): Promise<HandshakeReport>;
}
