import { dirname, join } from "node:path";
import { presentedKeyPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";
import { parseUpload } from "../certificates/parse.ts";
import type { CertificateVersion } from "../contract/change-feed.ts";
import type { Gateway } from "../gateway/gateway.ts";
import type { DevAuthority } from "./authority.ts";
import { chooseCertificate, ofName } from "./certificates.ts";
import type { CertificateFiles, ChosenCertificate, FromPlatform } from "./certificates.ts";
import type { DatabasePlace } from "./connection-string.ts";
import type { DevFile } from "./file.ts";
import { boundDatabase, devDatabase, placeOf, withoutPlatform } from "./databases.ts";
import { developmentAddresses } from "./gateway.ts";
import { startRelay } from "./relay.ts";
import { readText } from "./text-file.ts";
import { FileWatcher } from "./watch.ts";
import type { MtlsBinding, SocketOf } from "./wrangler/wrangler.ts";

/** The mTLS bindings of one project, each at a socket on which the gateway listens. */
export interface DevBindings extends AsyncDisposable {
  /** Opens the binding if it is not open yet; problems go to `onProblem`. */
  readonly socketOf: SocketOf;
  /** Resolves once the gateway listens at the socket. @throws Failure if the binding has no certificate */
  open(binding: MtlsBinding): Promise<ChosenCertificate>;
}

export interface DevBindingsOptions {
  readonly gateway: Gateway;
  /** The gateway unseals keys with it. */
  readonly keyring: Keyring;
  /** Absolute. The gateway makes its sockets here. */
  readonly runFolder: string;
  readonly authority: DevAuthority;
  readonly workerName: string;
  /** The account in the Worker's identity. Null: `development`. */
  readonly account: string | null;
  /** Wrangler's environment, which the identity may name. Null: none. */
  readonly environment: string | null;
  readonly certificateOptions: Readonly<Record<string, CertificateFiles>>;
  readonly fromPlatform: FromPlatform;
  /** Absolute: its change says that the platform has another state. Null: no platform is asked. */
  readonly platformSocket: string | null;
  /** Reads countersign.json; called again whenever it changes. */
  readonly readFile: () => Promise<DevFile>;
  /** Called when a binding has got a certificate, another certificate, or other trust. */
  readonly onCertificate: (chosen: ChosenCertificate) => void;
  /**
   * Called when a changed file is not usable; the previous state stays in force. @param still the certificate that the
   * binding keeps
   */
  readonly onProblem: (error: unknown, still?: ChosenCertificate) => void;
}

/** Development has one account only. */
const accountId = "development";

/** @throws Failure if countersign.json, or a CA that it names, is not usable */
export async function openDevBindings(options: DevBindingsOptions): Promise<DevBindings> {
  const bindings = new Bindings(options);
  await bindings.readAgain();
  return bindings;
}

interface OpenBinding {
  binding: MtlsBinding;
  /** Absolute. */
  readonly socketPath: string;
  chosen: Promise<ChosenCertificate>;
  /** What the gateway was last told about this binding, as text. It is told again only after a change. */
  told: string;
  files: readonly string[];
  version: number;
  /** Closes the listener at the socket. Null: nothing listens yet. */
  listening: { readonly at: string; close(): Promise<void> } | null;
}

interface Material {
  readonly chain: string;
  readonly privateKey: string;
  readonly trust: readonly string[] | null;
}

class Bindings implements DevBindings {
  readonly #options: DevBindingsOptions;
  readonly #open = new Map<string, OpenBinding>();
  #file: DevFile | null = null;
  /** PEM, of countersign.json and the development CA. */
  #authorities: readonly string[] = [];
  #watching: FileWatcher | null = null;
  #reloading: Promise<void> = Promise.resolve();

  constructor(options: DevBindingsOptions) {
    this.#options = options;
  }

  /** Reads countersign.json again, and applies what it says to every binding. */
  async readAgain(): Promise<void> {
    const file = await this.#options.readFile();
    this.#file = file;
    this.#watch();
    this.#authorities = [
      this.#options.authority.ca,
      ...(await Promise.all(file.ca.map(readAnchors))),
    ];
    const { gateway } = this.#options;
    gateway.setTrust(accountId, {
      authorities: this.#authorities,
      hosts: {},
      proxied: file.proxied,
    });
    gateway.setAddresses(developmentAddresses(file.hosts));
  }

  readonly socketOf: SocketOf = (binding) => {
    const opened = this.#ensure(binding);
    opened.chosen.catch((error: unknown) => this.#options.onProblem(error));
    return opened.socketPath;
  };

  async open(binding: MtlsBinding): Promise<ChosenCertificate> {
    return this.#ensure(binding).chosen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watching?.[Symbol.dispose]();
    await this.#reloading;
    const closing = [...this.#open.values()].map(async ({ listening }) => listening?.close());
    await Promise.allSettled(closing);
  }

  #ensure(binding: MtlsBinding): OpenBinding {
    const known = this.#open.get(binding.name);
    if (known) {
      if (isSameDatabase(known.binding, binding)) return known;
      known.binding = binding;
      known.chosen = this.#presentAfter(known.chosen, known);
      return known;
    }
    const opened: OpenBinding = {
      binding,
      // Short, whatever the name of the binding: a socket's path may have at most 107 bytes.
      socketPath: join(this.#options.runFolder, `${this.#open.size}.sock`),
      chosen: Promise.reject(new Error("not chosen yet")),
      told: "",
      files: [],
      version: 0,
      listening: null,
    };
    opened.chosen.catch(() => {});
    this.#open.set(binding.name, opened);
    opened.chosen = this.#present(opened);
    return opened;
  }

  /** wrangler has read another database from the configuration. */
  async #presentAfter(before: Promise<unknown>, opened: OpenBinding): Promise<ChosenCertificate> {
    await before.catch(() => {});
    return await this.#present(opened);
  }

  async #present(opened: OpenBinding): Promise<ChosenCertificate> {
    const { authority, workerName, account, environment, certificateOptions, fromPlatform } =
      this.#options;
    const binding = this.#placed(opened.binding);
    const trust = await this.#trustOf(binding);
    const file = this.#file?.bindings ?? {};
    const isDatabase = binding.database !== undefined;
    const chosen = await chooseCertificate(binding, {
      options: certificateOptions,
      file,
      fromPlatform: isDatabase
        ? withoutPlatform(binding.name, ofName(file, binding.name)?.certificate !== undefined)
        : fromPlatform,
      authority,
      authorities: [...this.#authorities, ...(trust ?? [])],
      workerName,
      account: account ?? accountId,
      environment: this.#file?.identityEnvironments ? environment : null,
      onFiles: (files) => {
        opened.files = files;
        this.#watch();
      },
    });
    if ("chain" in chosen.by) {
      opened.version += 1;
      const certificate = this.#certificate(chosen, { ...chosen.by, trust }, opened.version);
      await this.#options.gateway.setCertificate(certificate);
    }
    if (binding.database !== undefined) await this.#setDatabase(binding.name, binding.database);
    await this.#listen(opened, chosen);
    const { facts, source, label, warnings } = chosen;
    const all = [facts.fingerprint, source, label, warnings, trust ?? this.#authorities];
    const told = JSON.stringify(all);
    if (told !== opened.told) this.#options.onCertificate(chosen);
    opened.told = told;
    return chosen;
  }

  /** The binding with the database that it leads to now. */
  #placed(binding: MtlsBinding): MtlsBinding {
    const { name, database } = binding;
    if (database === undefined) return binding;
    const inFile = ofName(this.#file?.bindings ?? {}, name)?.database;
    return { ...binding, database: placeOf(name, database, inFile) };
  }

  async #setDatabase(name: string, place: DatabasePlace): Promise<void> {
    const { gateway, keyring } = this.#options;
    const folder = dirname(this.#file?.path ?? "");
    const authorities = this.#authorities;
    gateway.setDatabase(
      await devDatabase({ accountId, name, place, keyring, folder, authorities, readAnchors }),
    );
  }

  async #listen(opened: OpenBinding, { by, binding }: ChosenCertificate): Promise<void> {
    const { gateway, workerName } = this.#options;
    const { socketPath } = opened;
    const told = opened.binding.database;
    const database = told && boundDatabase(binding, told);
    const at = "socketPath" in by ? by.socketPath : `gateway ${JSON.stringify(database)}`;
    if (opened.listening?.at === at) {
      return;
    }
    await opened.listening?.close();
    opened.listening = null;
    if ("socketPath" in by) {
      const relay = await startRelay(socketPath, by.socketPath);
      opened.listening = { at, close: async () => relay[Symbol.asyncDispose]() };
      return;
    }
    await gateway.openBinding({
      socketPath,
      accountId,
      scriptName: workerName,
      bindingName: binding,
      certificateId: binding,
      ...(database && { database }),
    });
    opened.listening = { at, close: () => gateway.closeBinding(socketPath) };
  }

  /** PEM of the CAs that this binding alone trusts. Null: it trusts the CAs of all bindings. */
  async #trustOf({ name }: MtlsBinding): Promise<readonly string[] | null> {
    const own = ofName(this.#file?.bindings ?? {}, name)?.ca;
    return own ? Promise.all(own.map(readAnchors)) : null;
  }

  #certificate(
    { binding, label }: ChosenCertificate,
    { chain, privateKey, trust }: Material,
    version: number,
  ): CertificateVersion {
    const said = ofName(this.#file?.bindings ?? {}, binding);
    const place = presentedKeyPlace({ accountId, sealedId: binding });
    return {
      accountId,
      certificateId: binding,
      name: label,
      version,
      chain,
      sealedKey: this.#options.keyring.seal(place, privateKey),
      sealedId: binding,
      allowedHosts: said?.allowedHosts ?? null,
      trust,
      revokedOn: null,
    };
  }

  /** Watches every file that affects a binding. */
  #watch(): void {
    const { platformSocket } = this.#options;
    const files = [
      ...(platformSocket === null ? [] : [platformSocket]),
      ...(this.#file ? filesOf(this.#file) : []),
      ...[...this.#open.values()].flatMap((opened) => opened.files),
    ];
    this.#watching ??= new FileWatcher(() => {
      this.#reloading = this.#reloadAfter(this.#reloading);
    });
    this.#watching.follow(files);
  }

  async #reloadAfter(before: Promise<void>): Promise<void> {
    await before;
    await this.#reload();
  }

  /** A file that cannot be read is reported, and changes nothing. */
  async #reload(): Promise<void> {
    try {
      await this.readAgain();
    } catch (error) {
      this.#options.onProblem(error);
      return;
    }
    for (const opened of this.#open.values()) {
      const before = opened.chosen;
      try {
        opened.chosen = Promise.resolve(await this.#present(opened));
      } catch (error) {
        const kept = await before.catch(() => undefined);
        // What the platform presents ends with the platform.
        this.#options.onProblem(error, kept && "chain" in kept.by ? kept : undefined);
      }
    }
  }
}

/** The CAs are judged as the platform judges an upload. @throws Failure */
async function readAnchors(path: string): Promise<string> {
  const certificates = await readText(path);
  const parsed = parseUpload({ certificates, ca: true, allowExpired: true, now: new Date() });
  return parsed.kind === "ca" ? parsed.bundle : certificates;
}

function isSameDatabase(one: MtlsBinding, other: MtlsBinding): boolean {
  return JSON.stringify(one.database) === JSON.stringify(other.database);
}

function filesOf({ path, ca, bindings }: DevFile): readonly string[] {
  return [path, ...ca, ...Object.values(bindings).flatMap((binding) => binding.ca ?? [])];
}
