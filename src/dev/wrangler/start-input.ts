import type { StartInput } from "./wrangler.ts";

/** The flags of `wrangler dev` that `countersign dev` passes on, by commander's names. */
export interface DevFlags {
  readonly config?: string;
  readonly env?: string;
  readonly envFile?: readonly string[];
  readonly name?: string;
  readonly compatibilityDate?: string;
  readonly compatibilityFlags?: readonly string[];
  readonly assets?: string;
  readonly bundle?: boolean;
  readonly ip?: string;
  readonly port?: number;
  readonly inspectorPort?: number;
  readonly inspectorIp?: string;
  readonly host?: string;
  readonly localProtocol?: string;
  readonly httpsKeyPath?: string;
  readonly httpsCertPath?: string;
  readonly upstreamProtocol?: string;
  readonly var?: readonly string[];
  readonly define?: readonly string[];
  readonly alias?: readonly string[];
  readonly jsxFactory?: string;
  readonly jsxFragment?: string;
  readonly tsconfig?: string;
  readonly minify?: boolean;
  readonly persistTo?: string;
  readonly liveReload?: boolean;
  readonly testScheduled?: boolean;
  readonly logLevel?: string;
  readonly local?: boolean;
}

/** The input that `wrangler dev` itself makes of these flags. */
export function startInput(script: string | undefined, flags: DevFlags): StartInput {
  return given({
    entrypoint: script,
    config: flags.config,
    env: flags.env,
    envFiles: flags.envFile && [...flags.envFile],
    name: flags.name,
    compatibilityDate: flags.compatibilityDate,
    compatibilityFlags: flags.compatibilityFlags && [...flags.compatibilityFlags],
    assets: flags.assets,
    bindings: Object.fromEntries(
      Object.entries(pairs(flags.var)).map(([name, value]) => [
        name,
        { type: "plain_text", value },
      ]),
    ),
    build: given({
      // Without `--no-bundle`, commander sets `bundle` to true; then the configuration file decides.
      bundle: flags.bundle === false ? false : undefined,
      define: flags.define && pairs(flags.define),
      alias: flags.alias && pairs(flags.alias),
      jsxFactory: flags.jsxFactory,
      jsxFragment: flags.jsxFragment,
      tsconfig: flags.tsconfig,
      minify: flags.minify,
    }),
    dev: given({
      remote: flags.local ? false : undefined,
      server: given({
        hostname: flags.ip,
        port: flags.port,
        secure: isHttps(flags.localProtocol),
        httpsKeyPath: flags.httpsKeyPath,
        httpsCertPath: flags.httpsCertPath,
      }),
      inspector: given({ hostname: flags.inspectorIp, port: flags.inspectorPort }),
      origin: given({ hostname: flags.host, secure: isHttps(flags.upstreamProtocol) }),
      persist: flags.persistTo,
      liveReload: flags.liveReload,
      testScheduled: flags.testScheduled,
      logLevel: flags.logLevel,
    }),
  }) as StartInput;
}

function isHttps(protocol: string | undefined): boolean | undefined {
  return protocol === undefined ? undefined : protocol === "https";
}

/** Reads `NAME:value`, as wrangler writes pairs; the value may contain colons. */
function pairs(list: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    list.map((pair) => {
      const colon = pair.indexOf(":");
      return colon < 0 ? [pair, ""] : [pair.slice(0, colon), pair.slice(colon + 1)];
    }),
  );
}

/** Leaves out fields that were not given, because for wrangler an undefined field differs from a missing one. */
function given(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
