import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../failures/failures.ts";
import { type LocalAuthority, servedByAuthority } from "./local-authority.ts";
import type { PlatformOptions } from "./platform-options.ts";
import { type PairSource, ServedPair } from "./served-pair.ts";

/**
 * The certificate that the API presents. Null: plain HTTP.
 * @throws Failure `api_certificate_unusable`
 */
export async function openApiTls(
  { apiTls, apiHost, publicUrl, log }: PlatformOptions,
  authority: LocalAuthority,
): Promise<PairSource | null> {
  if (apiTls === null) return null;
  if (apiTls !== "local") return ServedPair.open(apiTls, log);
  const host = publicUrl === null ? apiHost : new URL(publicUrl).hostname;
  if (!authority.covers(host)) {
    throw new Failure("api_certificate_unusable", {
      message: `this machine's own CA cannot speak for ${host}, where the API would be reached`,
      fix: "Name a certificate with --api-cert and --api-key, or a name of this machine with --local-name and --public-url.",
      facts: { host },
    });
  }
  return servedByAuthority(authority);
}

/** Writes a file for NODE_EXTRA_CA_CERTS, again at each start. @returns its path */
export async function writeLocalAuthority(
  dataFolder: string,
  { certificate }: LocalAuthority,
): Promise<string> {
  const path = join(dataFolder, "local-ca.pem");
  await writeFile(`${path}.new`, certificate);
  await rename(`${path}.new`, path);
  return path;
}
