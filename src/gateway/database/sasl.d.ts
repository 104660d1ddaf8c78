/** SCRAM-SHA-256 as `pg` does it: the package has no types for it. */
declare module "pg/lib/crypto/sasl.js" {
  interface Session {
    readonly mechanism: string;
    readonly response: string;
  }
  const sasl: {
    startSession(mechanisms: readonly string[], stream: object | null): Session;
    continueSession(
      session: Session,
      password: string,
      serverData: string,
      stream: object | null,
    ): Promise<void>;
    finalizeSession(session: Session, serverData: string): void;
  };
  export default sasl;
}

declare module "pg/lib/crypto/utils.js" {
  const utils: {
    postgresMd5PasswordHash(user: string, password: string, salt: Buffer): Promise<string>;
  };
  export default utils;
}
