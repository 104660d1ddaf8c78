import type { AccountTrust, CertificateVersion } from "../src/contract/change-feed.ts";
import { sealedCertificate } from "../test/helpers/sealed-certificate.ts";
import type { TestCertificate } from "../test/helpers/pki.ts";
import type { Material } from "./material.ts";

export const ACCOUNT = "0123456789abcdef0123456789abcdef";
export const MASTER_KEY: Uint8Array = new Uint8Array(32).fill(7);

/** A certificate as the control plane passes it to the edge. */
export function edgeCertificate(
  certificateId: string,
  pair: Pick<TestCertificate, "chain" | "key">,
): CertificateVersion {
  return sealedCertificate(pair, { accountId: ACCOUNT, certificateId, masterKey: MASTER_KEY });
}

export function accountTrust({ authority }: Material): AccountTrust {
  return { authorities: [authority.pem], hosts: {}, proxied: [] };
}

/** Only what the benchmark needs besides the defaults: the origin is on loopback. */
export const GATEWAY_OPTIONS = {
  addresses: { development: true },
  logLevel: "warn",
} as const;
