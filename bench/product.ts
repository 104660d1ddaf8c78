import { presentedKeyPlace } from "../src/keys/places.ts";
import { Keyring } from "../src/keys/seal.ts";
import type { AccountTrust, CertificateVersion } from "../src/contract/change-feed.ts";
import type { TestCertificate } from "../test/helpers/pki.ts";
import type { Material } from "./material.ts";

export const ACCOUNT = "0123456789abcdef0123456789abcdef";
export const MASTER_KEY: Uint8Array = new Uint8Array(32).fill(7);

/** A certificate as the control plane would hand it to the edge. */
export function edgeCertificate(
  certificateId: string,
  { chain, key }: Pick<TestCertificate, "chain" | "key">,
): CertificateVersion {
  const sealedId = `${certificateId}/1`;
  const place = presentedKeyPlace({ accountId: ACCOUNT, sealedId });
  return {
    accountId: ACCOUNT,
    certificateId,
    name: null,
    version: 1,
    chain,
    sealedKey: keyring.seal(place, key),
    sealedId,
    allowedHosts: null,
    trust: null,
    revokedOn: null,
  };
}

export function accountTrust({ authority }: Material): AccountTrust {
  return { authorities: [authority.pem], hosts: {}, proxied: [] };
}

/** Only what a benchmark needs besides the defaults: the origin is on loopback. */
export const GATEWAY_OPTIONS = {
  addresses: { development: true },
  logLevel: "warn",
} as const;

const keyring = new Keyring(MASTER_KEY);
