import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import {
  NameConstraints,
  GeneralSubtree,
  GeneralSubtrees,
  GeneralName,
  id_ce_nameConstraints,
} from "@peculiar/asn1-x509";
import { AsnConvert } from "@peculiar/asn1-schema";
import * as x509 from "../certificates/x509.ts";
import type { ServedCertificate } from "../contract/hosts.ts";
import { issueLeaf, type IssueRequest, type KeyPair } from "../dev/issue.ts";
import { localAuthorityPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";
import { putLocalAuthority, readLocalAuthority } from "../store/local-authority.ts";
import type { Store } from "../store/store.ts";
import type { Pair, PairSource } from "./served-pair.ts";

const DAY = 86_400_000;
const LEAF_LIFE = 90 * DAY;
const ecdsa = { name: "ECDSA", namedCurve: "P-256" };

export interface LocalAuthorityOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  /** Names beside `localhost`; names below them are included. */
  readonly names: readonly string[];
  clock(this: void): Date;
}

/**
 * The CA of this machine's own names. Its certificate is constrained to these names, so trusting it is no risk for
 * others. It is made again if the constraint does not include one of `names`.
 */
export class LocalAuthority {
  /** PEM, for browsers and the system to trust. */
  readonly certificate: string;
  readonly #root: KeyPair;
  readonly #options: LocalAuthorityOptions;

  private constructor(root: KeyPair, options: LocalAuthorityOptions) {
    this.certificate = root.cert;
    this.#root = root;
    this.#options = options;
  }

  static async open(options: LocalAuthorityOptions): Promise<LocalAuthority> {
    const { store, keyring, clock } = options;
    const names = ["localhost", ...options.names];
    const row = await readLocalAuthority(store.db);
    if (row !== null && speaksFor(row.certificate, names) && !isOver(row.certificate, clock())) {
      const key = keyring.unseal(localAuthorityPlace, row.sealedKey);
      return new LocalAuthority({ cert: row.certificate, key }, options);
    }
    const root = await makeRoot(names, clock());
    const sealedKey = keyring.seal(localAuthorityPlace, root.key);
    const createdOn = clock().toISOString();
    await store.housekeep(({ db }) =>
      putLocalAuthority(db, { certificate: root.cert, sealedKey, createdOn }),
    );
    return new LocalAuthority(root, options);
  }

  /** Whether the CA may issue for the host of a URL, such as `localhost` or `[::1]`. */
  covers(host: string): boolean {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (address === "127.0.0.1" || address === "::1") return true;
    return ["localhost", ...this.#options.names].some(
      (name) => address === name || address.endsWith(`.${name}`),
    );
  }

  /** Issues a leaf for this machine's names, valid for 90 days. Its key is kept in memory only. */
  leaf(): Promise<ServedCertificate> {
    const { names } = this.#options;
    return this.#issue({
      subject: "CN=localhost",
      dns: ["localhost", "*.localhost", ...names.flatMap((name) => [name, `*.${name}`])],
      ips: ["127.0.0.1", "::1"],
    });
  }

  /** Issues a leaf for one name. Null: the name is not below one of this machine's names. */
  async leafFor(name: string): Promise<ServedCertificate | null> {
    const above = ["localhost", ...this.#options.names];
    if (!above.some((one) => name.endsWith(`.${one}`))) return null;
    // A CN may have only 64 characters, and clients ignore it when there are names.
    return this.#issue({ subject: "CN=localhost", dns: [name] });
  }

  async #issue(request: IssueRequest): Promise<ServedCertificate> {
    const notAfter = new Date(this.#options.clock().getTime() + LEAF_LIFE);
    const pair = await issueLeaf(this.#root, { ...request, notAfter });
    return { chain: pair.cert, key: pair.key };
  }
}

/** The certificate that the API presents if none was configured. */
export async function servedByAuthority(authority: LocalAuthority): Promise<PairSource> {
  let current = pairOf(await authority.leaf());
  let told: ((pair: Pair) => void) | null = null;
  const fresh = keepLeafFresh(authority, async (leaf) => {
    current = pairOf(leaf);
    told?.(current);
  });
  return {
    get current() {
      return current;
    },
    renews: (renewed) => void (told = renewed),
    [Symbol.dispose]: () => fresh[Symbol.dispose](),
  };
}

function pairOf({ chain, key }: ServedCertificate): Pair {
  return { cert: chain, key };
}

/** Renews the default leaf while the platform runs. @returns a handle that stops it */
export function keepLeafFresh(
  authority: LocalAuthority,
  present: (leaf: ServedCertificate) => Promise<void>,
): Disposable {
  const renew = async (): Promise<void> => present(await authority.leaf());
  const timer = setInterval(() => void renew().catch(() => {}), DAY * 20).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function makeRoot(names: readonly string[], now: Date): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(ecdsa, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: `4${randomBytes(16).toString("hex").slice(1)}`,
    name: [
      { O: ["Countersign"] },
      { CN: [`Countersign local CA ${randomBytes(3).toString("hex")}`] },
    ],
    notBefore: new Date(now.getTime() - 3_600_000),
    notAfter: new Date(now.getTime() + 3650 * DAY),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1"]),
      nameConstraints(names),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const der = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  const key = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  return {
    cert: `${certificate.toString("pem")}\n`,
    key: key.export({ format: "pem", type: "pkcs8" }),
  };
}

/** Loopback addresses are included. The extension is critical: a client that does not know it rejects the CA. */
function nameConstraints(names: readonly string[]): x509.Extension {
  const permitted = [
    ...names.map((dNSName) => new GeneralName({ dNSName })),
    new GeneralName({ iPAddress: "127.0.0.0/8" }),
    new GeneralName({ iPAddress: "::1/128" }),
  ].map((base) => new GeneralSubtree({ base }));
  const value = new NameConstraints({ permittedSubtrees: new GeneralSubtrees(permitted) });
  return new x509.Extension(id_ce_nameConstraints, true, AsnConvert.serialize(value));
}

function speaksFor(pem: string, names: readonly string[]): boolean {
  const extension = new x509.X509Certificate(pem).getExtension(id_ce_nameConstraints);
  if (extension === null) return false;
  const { permittedSubtrees } = AsnConvert.parse(extension.value, NameConstraints);
  const permitted = new Set([...(permittedSubtrees ?? [])].map(({ base }) => base.dNSName));
  return names.every((name) => permitted.has(name));
}

function isOver(pem: string, now: Date): boolean {
  return new X509Certificate(pem).validToDate.getTime() < now.getTime() + LEAF_LIFE;
}
