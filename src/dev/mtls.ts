import { resolve } from "node:path";
import picocolors from "picocolors";
import { IDENTITY } from "../contract/identity.ts";
import { openAuthority } from "./authority.ts";
import {
  bindingsSchema,
  checkOptions,
  mtlsOptionsSchema,
  mtlsOriginSchema,
} from "./check-options.ts";
import type { CertificateFiles } from "./certificates.ts";
import { startDevOrigin, type DevOrigin, type DevOriginOptions } from "./origin.ts";
import { startProjectBindings } from "./session.ts";
import { externalService, type ExternalService } from "./socket-binding.ts";
import type { SocketOf } from "./wrangler/wrangler.ts";

/** mTLS bindings for a test, each presenting a real certificate through the gateway. */
export interface Mtls extends AsyncDisposable {
  /** For Miniflare 4, and what is built on it: `serviceBindings`. */
  readonly serviceBindings: Readonly<Record<string, ExternalService>>;
  /** For Miniflare 5: a Worker's `config.env`. */
  readonly env: Readonly<
    Record<string, { readonly type: "external" } & ExternalService["external"]>
  >;
  /** Every failure so far, in order. */
  readonly failures: readonly MtlsFailure[];
  readonly socketOf: SocketOf;
}

export interface MtlsFailure {
  readonly binding: string;
  /** As in the header `countersign-failure`. */
  readonly code: string;
  readonly message: string;
}

/** Default: a certificate of the project's development CA, or what countersign.json says. */
export interface MtlsBindingOptions {
  /** PEM file with the leaf, its chain, and perhaps the key. Relative to `project`. */
  readonly cert?: string;
  /** PEM file with the private key. */
  readonly key?: string;
  /** Present the identity of the Worker with this name, in place of a certificate. */
  readonly identity?: string;
  /** The environment that the identity names, as with `countersign identity environments on`. Default: none. */
  readonly identityEnvironment?: string;
}

export interface MtlsOptions {
  /** Folder of countersign.json and .countersign/. Default: the working directory. */
  readonly project?: string;
  /** Account of identities. Default: `development`. */
  readonly account?: string;
  /** Wrangler environment whose part of countersign.json counts. Default: none. */
  readonly environment?: string;
  /**
   * Host in the Worker's URL → an origin that is connected to instead; its certificate is for that
   * host from then on, too. Default: none.
   */
  readonly hosts?: Readonly<Record<string, DevOrigin>>;
}

/**
 * Opens mTLS bindings. Names that are not given here may still be asked for with `socketOf`.
 * @throws Failure if a certificate is not usable
 */
export async function mtls(
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
  options: MtlsOptions = {},
): Promise<Mtls> {
  checkOptions("mtls()", bindingsSchema, bindings);
  checkOptions("mtls()'s options:", mtlsOptionsSchema, options);
  const projectFolder = resolve(options.project ?? ".");
  await answerForHosts(options.hosts ?? {});
  const failures: MtlsFailure[] = [];
  const opened = await startProjectBindings({
    projectFolder,
    workerName: "test",
    account: options.account ?? null,
    flags: options.environment === undefined ? {} : { env: options.environment },
    certificateOptions: filesOf(projectFolder, bindings),
    hosts: Object.fromEntries(
      Object.entries(options.hosts ?? {}).map(([host, { port }]) => [host, `localhost:${port}`]),
    ),
    say: () => {},
    complain: () => {},
    onFailure: ({ code, message }, { bindingName }) =>
      failures.push({ binding: bindingName, code, message }),
    colors: picocolors.createColors(false),
  });
  const entries: [string, ExternalService][] = [];
  for (const [name, { identity: worker, identityEnvironment: environment }] of Object.entries(
    bindings,
  )) {
    const binding =
      worker === undefined
        ? { name, certificateId: name }
        : {
            name,
            certificateId: IDENTITY,
            worker,
            ...(environment !== undefined && { environment }),
          };
    await opened.open(binding);
    entries.push([name, externalService(opened.socketOf(binding))]);
  }
  const services = Object.fromEntries(entries);
  return {
    serviceBindings: services,
    env: Object.fromEntries(
      Object.entries(services).map(([name, { external }]) => [
        name,
        { type: "external", ...external },
      ]),
    ),
    failures,
    socketOf: opened.socketOf,
    [Symbol.asyncDispose]: async () => opened[Symbol.asyncDispose](),
  };
}

export interface MtlsOriginOptions extends Omit<DevOriginOptions, "authority" | "onRefused"> {
  /** Folder of .countersign/, whose CA it trusts. Default: the working directory. */
  readonly project?: string;
}

/** A server on a free port that lets in only clients of the project's development CA. */
export async function mtlsOrigin(options: MtlsOriginOptions = {}): Promise<DevOrigin> {
  checkOptions("mtlsOrigin()", mtlsOriginSchema, options);
  const { project = ".", ...others } = options;
  const authority = await openAuthority(resolve(project));
  return startDevOrigin({ ...others, authority });
}

/** An origin that stands for a host has a certificate for it. */
async function answerForHosts(hosts: Readonly<Record<string, DevOrigin>>): Promise<void> {
  const names = Map.groupBy(Object.entries(hosts), ([, origin]) => origin);
  for (const [origin, entries] of names) await origin.answerFor(entries.map(([host]) => host));
}

function filesOf(
  folder: string,
  bindings: Readonly<Record<string, MtlsBindingOptions>>,
): Record<string, CertificateFiles> {
  return Object.fromEntries(
    Object.entries(bindings).flatMap(([name, { cert, key }]) => {
      if (cert === undefined) return [];
      const paths = { cert: resolve(folder, cert) };
      return [[name, key === undefined ? paths : { ...paths, key: resolve(folder, key) }]];
    }),
  );
}
