import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { makeAuthority, type TestCertificate } from "../../test/helpers/pki.ts";
import type { Stage } from "./stage.ts";

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A Worker's names, from a CA that has the name of the account's own. */
export async function forgedAs({ platform }: Stage, worker: string): Promise<TestCertificate> {
  const { accountId } = platform.ready;
  const other = await makeAuthority(`O=${accountId},CN=Countersign identities root`);
  return other.issue({
    subject: `O=${accountId},CN=${worker}`,
    uris: [`spiffe://example.org/account/${accountId}/worker/${worker}`],
  });
}

/** Bytes of a point on P-256: both forms of a key end with the public one's. */
const POINT = 65;

/**
 * A copied certificate with a key of one's own, in whose file the certificate's public key stands: TLS
 * libraries that compare the two let it pass, and the signature of the handshake is wrong.
 */
export function withoutItsKey(copied: string): Pair {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const der = privateKey.export({ format: "der", type: "pkcs8" });
  const { publicKey } = new X509Certificate(copied);
  const copiedKey = publicKey.export({ format: "der", type: "spki" });
  copiedKey.copy(der, der.length - POINT, copiedKey.length - POINT);
  const base64 = der.toString("base64");
  return {
    cert: copied,
    key: `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`,
  };
}

/** With which alert a handshake was ended, in TLS's own word. */
export async function alertOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
    return "let in";
  } catch (error) {
    const { message } = error as Error;
    const alert = /alert (?:number )?([a-z ]+?)(?::|$)/.exec(message)?.[1];
    return alert?.replaceAll(" ", "_") ?? message;
  }
}
