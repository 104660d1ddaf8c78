import { Failure } from "../../failures/failures.ts";
import { isCidr } from "../../network/ranges.ts";
import type { ProxyOptions } from "../../network/trusted-proxies.ts";
import type { PlatformOptions } from "../../platform/platform-options.ts";
import { colorsFor, writeLine, type Io } from "../../terminal/io.ts";

/** Options of `start` for how the API is reached, and through which proxies. */
export interface ApiOptions {
  readonly httpsOnly?: true;
  readonly publicUrl?: string;
  readonly apiCert?: string;
  readonly apiKey?: string;
  readonly unsafePlainApi?: true;
  readonly trustedProxies?: string[];
  readonly forwardedHeader: string;
}

/** @throws Failure `usage` */
export function apiTls(options: ApiOptions): PlatformOptions["apiTls"] {
  const { apiCert, apiKey, httpsOnly, unsafePlainApi, publicUrl } = options;
  if (httpsOnly && (unsafePlainApi || publicUrl?.startsWith("http:"))) {
    const other = unsafePlainApi ? "--unsafe-plain-api" : `--public-url ${publicUrl}`;
    throw new Failure("usage", { message: `--https-only and ${other} exclude each other` });
  }
  if (apiCert === undefined && apiKey === undefined) return httpsOnly ? "local" : null;
  if (apiCert !== undefined && apiKey !== undefined) return { certificate: apiCert, key: apiKey };
  throw new Failure("usage", { message: "--api-cert and --api-key are given together" });
}

/** @throws Failure `usage` */
export function proxiesOf({ trustedProxies = [], forwardedHeader }: ApiOptions): ProxyOptions {
  const wrong = trustedProxies.find((cidr) => !isCidr(cidr));
  if (wrong !== undefined) {
    throw new Failure("usage", {
      message: `--trusted-proxies "${wrong}" is not an IP address or a CIDR`,
    });
  }
  if (forwardedHeader !== "x-forwarded" && forwardedHeader !== "forwarded") {
    throw new Failure("usage", {
      message: `--forwarded-header "${forwardedHeader}" is neither x-forwarded nor forwarded`,
    });
  }
  return { trusted: trustedProxies, header: forwardedHeader };
}

export function warnOfPlainApi(io: Io, api: string): void {
  const { red } = colorsFor(io, io.stderr);
  writeLine(
    io.stderr,
    red(
      `✘ The API at ${api} is plain HTTP on a network: tokens and private keys are read on the way`,
    ),
  );
  writeLine(io.stderr, red("  Give it --api-cert and --api-key, or keep --api-host on loopback."));
}
