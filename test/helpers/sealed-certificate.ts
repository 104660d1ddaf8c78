import type { CertificateVersion } from "../../src/contract/change-feed.ts";
import { presentedKeyPlace } from "../../src/keys/places.ts";
import { Keyring } from "../../src/keys/seal.ts";
import type { TestCertificate } from "./pki.ts";

type Owner = "accountId" | "certificateId";

export interface SealedWith
  extends
    Pick<CertificateVersion, Owner>,
    Partial<Omit<CertificateVersion, Owner | "chain" | "sealedKey">> {
  readonly masterKey: Uint8Array;
}

/**
 * A version of a certificate as the control plane passes it on, with a sealed key. Default: the first version, bound to
 * nothing.
 */
export function sealedCertificate(
  { chain, key }: Pick<TestCertificate, "chain" | "key">,
  { masterKey, ...given }: SealedWith,
): CertificateVersion {
  const { accountId, certificateId, version = 1 } = given;
  const sealedId = given.sealedId ?? `${certificateId}/${version}`;
  const place = presentedKeyPlace({ accountId, sealedId });
  return {
    name: null,
    allowedHosts: null,
    trust: null,
    revokedOn: null,
    ...given,
    version,
    chain,
    sealedKey: new Keyring(masterKey).seal(place, key),
    sealedId,
  };
}
