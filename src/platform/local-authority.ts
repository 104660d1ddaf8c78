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
import type { Pair, Served } from "./served-pair.ts";

const DAY = 86_400_000;
const LEAF_LIFE = 90 * DAY;
const ecdsa = { name: "ECDSA", namedCurve: "P-256" };

export interface LocalAuthorityOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  /** Beside `localhost` and all below it. */
  readonly names: readonly string[];
  clock(this: void): Date;
}

/**
 * The CA of this machine's own names. It can speak for no other name, so that who trusts it gives
 * nothing away: it is made again where it may not speak for one of `names`.
 */
export class LocalAuthority {
  /** PEM: what browsers and the system have to trust. */
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

  /** Whether clients that trust it believe it for a host of a URL: `localhost`, `[::1]`. */
  covers(host: string): boolean {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (address === "127.0.0.1" || address === "::1") return true;
    return ["localhost", ...this.#options.names].some(
      (name) => address === name || address.endsWith(`.${name}`),
    );
  }

  /** A leaf for this machine's names, 90 days long. Its key is kept in memory only. */
  leaf(): Promise<ServedCertificate> {
    const { names } = this.#options;
    return this.#issue({
      subject: "CN=localhost",
      dns: ["localhost", "*.localhost", ...names.flatMap((name) => [name, `*.${name}`])],
      ips: ["127.0.0.1", "::1"],
    });
  }

  /** One for a single name. Null: it is not below one of this machine's names. */
  async leafFor(name: string): Promise<ServedCertificate | null> {
    const above = ["localhost", ...this.#options.names];
    if (!above.some((one) => name.endsWith(`.${one}`))) return null;
    // A CN has 64 characters at most, and nobody reads it beside the names.
    return this.#issue({ subject: "CN=localhost", dns: [name] });
  }

  async #issue(request: IssueRequest): Promise<ServedCertificate> {
    const notAfter = new Date(this.#options.clock().getTime() + LEAF_LIFE);
    const pair = await issueLeaf(this.#root, { ...request, notAfter });
    return { chain: pair.cert, key: pair.key };
  }
}

/** What the API presents where no certificate of its own is named. */
export async function servedByAuthority(authority: LocalAuthority): Promise<Served> {
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

/** Renews the default leaf while the platform runs. @returns what stops it */
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

/** Loopback addresses beside the names. Critical: who does not know of it trusts nothing. */
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
