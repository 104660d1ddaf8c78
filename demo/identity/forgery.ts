import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { makeAuthority, type TestCertificate } from "../../test/helpers/pki.ts";
import type { Stage } from "./stage.ts";

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate with a Worker's names, from a CA with the same name as the account's own. */
export async function forgedAs({ platform }: Stage, worker: string): Promise<TestCertificate> {
  const { accountId } = platform.ready;
  const other = await makeAuthority(`O=${accountId},CN=Countersign identities root`);
  return other.issue({
    subject: `O=${accountId},CN=${worker}`,
    uris: [`spiffe://example.org/account/${accountId}/worker/${worker}`],
  });
}

/** Bytes of a point on P-256. Both key formats end with the public key's point. */
const POINT = 65;

/**
 * A copied certificate with the attacker's own key. The key file contains the certificate's public key, so TLS
 * libraries that compare the two accept it, but the handshake's signature is wrong.
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

/** The alert with which a handshake ended, by TLS's own name. */
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
