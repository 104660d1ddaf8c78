import { Failure } from "../../failures/failures.ts";
import type { ApiClient } from "./api-client.ts";

/** A certificate or CA, as `…/countersign/certificates` shows it. */
export interface ShownCertificate extends ShownFacts {
  readonly id: string;
  readonly name: string | null;
  readonly ca: boolean;
  readonly version: number;
  /** The upload of the version that is presented; `uploaded_on` is that of the first version. */
  readonly version_uploaded_on: string;
  readonly updated_on: string;
  readonly allowed_hosts: readonly string[] | null;
  readonly authorities: readonly string[] | null;
  readonly scripts: readonly string[];
  readonly last_handshake: ShownEvent | null;
  readonly last_failure: ShownEvent | null;
  readonly source: ShownSource | null;
  /** Only of a CA. */
  readonly trust?: ShownTrust;
  /** PEM; only if the certificate was asked for by its id. */
  readonly certificates?: string;
}

export interface ShownVersion extends ShownFacts {
  readonly version: number;
  readonly active: boolean;
  readonly certificates: string;
}

export interface ShownFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly serial_number: string;
  readonly fingerprint: string;
  readonly key: string;
  readonly signature: string;
  readonly names: readonly string[];
  readonly not_before: string;
  readonly expires_on: string;
  readonly expires: string;
  readonly days_left: number;
  readonly threshold: number | null;
  readonly revoked_on: string | null;
  /** Warnings of the upload that still apply. */
  readonly warnings: readonly string[];
  readonly uploaded_on: string;
}

export interface ShownEvent {
  readonly at: string;
  readonly origin: string | null;
  readonly version?: number;
  readonly tlsVersion?: string | null;
  readonly asked?: boolean;
  readonly code?: string;
  readonly message?: string;
}

export interface ShownSource {
  readonly folder: string;
  readonly taken_on: string | null;
  readonly failed_on: string | null;
  readonly failure: string | null;
}

export interface ShownTrust {
  readonly account: boolean;
  readonly certificates: readonly string[];
  readonly hosts: readonly string[];
  readonly spiffe_ids?: readonly string[];
}

export async function listShown(
  api: ApiClient,
  kind?: "leaf" | "ca",
): Promise<readonly ShownCertificate[]> {
  const query = kind === undefined ? "" : `?ca=${kind === "ca"}`;
  return (await api.call<ShownCertificate[]>("GET", `/countersign/certificates${query}`)).result;
}

/**
 * The certificate with this id, else the one with this name.
 * @throws Failure `certificate_not_found`, which lists the names that exist
 */
export async function findShown(
  api: ApiClient,
  idOrName: string,
  kind?: "leaf" | "ca",
): Promise<ShownCertificate> {
  const all = await listShown(api, kind);
  const found = all.find(({ id }) => id === idOrName) ?? all.find(({ name }) => name === idOrName);
  if (found) return found;
  const names = all.map(({ id, name }) => name ?? id);
  const what = kind === "ca" ? "CA" : "certificate";
  throw new Failure("certificate_not_found", {
    message: `there is no ${what} with the id or name "${idOrName}"`,
    fix:
      names.length === 0
        ? `There is no ${what} at all: upload one with \`countersign ${kind === "ca" ? "ca" : "certificate"} upload\`.`
        : `There ${names.length === 1 ? "is" : "are"}: ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}.`,
  });
}

/** The names of CAs for people to read; the id of one that has no name, or that the token may not see. */
export async function authorityNames(
  api: ApiClient,
  ids: readonly string[],
): Promise<readonly string[]> {
  if (ids.every((id) => id === "managed")) return ids;
  const shown = await listShown(api, "ca").catch((error: unknown) => {
    if (error instanceof Failure) return [];
    throw error;
  });
  const names = new Map(shown.map(({ id, name }) => [id, name]));
  return ids.map((id) => names.get(id) ?? id);
}
