import { Failure } from "../../failures/failures.ts";
import type { ApiClient } from "./api-client.ts";
import type { ShownHostCertificate } from "./shown-host-certificate.ts";

/** A host as the API shows it. */
export interface ShownHost {
  readonly host: string;
  readonly workers: readonly { readonly script: string; readonly pattern: string }[];
  /** The origin that answers where no Worker does. Null: none. */
  readonly origin: ShownOrigin | null;
  /** Null: one of this machine's own CA, if it may issue for the host. */
  readonly certificate: ShownHostCertificate | null;
  readonly certificate_source: "upload" | "folder" | "acme" | null;
  /** Why it was not renewed, after a failure's code. Null: nothing failed. */
  readonly certificate_warning: string | null;
  readonly clients: {
    readonly mode: "off" | "optional" | "required";
    readonly authorities: readonly string[];
    readonly forward: boolean;
  };
  /** Revocation lists of the CAs of its clients. Empty if the host asks for no certificate. */
  readonly revocation_lists: readonly ShownRevocationList[];
  readonly access: readonly { readonly name: string; readonly domain: string }[];
}

export interface ShownRevocationList {
  readonly id: string;
  /** Null: the list was uploaded. */
  readonly url: string | null;
  readonly issuer: string;
  readonly entries: number;
  /** ISO 8601. */
  readonly this_update: string;
  readonly next_update: string;
  readonly warning: string | null;
}

export interface ShownOrigin {
  readonly host: string;
  /** `https://10.0.0.5:8443` */
  readonly to: string;
  /** Where it was configured. */
  readonly from: "host origin" | "dns records";
  /** The certificate that the origin is shown. Null: none. */
  readonly certificate: {
    readonly id: string;
    readonly name: string | null;
    readonly from: "host origin" | "hostname" | "zone" | "global";
  } | null;
}

/** Hosts with any setting: a route, a certificate, rules for clients, Access. */
export async function listHosts(api: ApiClient): Promise<readonly ShownHost[]> {
  const { result } = await api.call<readonly ShownHost[]>("GET", "/countersign/hosts");
  return result;
}

/** The settings of a host, by its own name or by a wildcard. */
export async function findHost(api: ApiClient, name: string): Promise<ShownHost> {
  const path = `/countersign/hosts?host=${encodeURIComponent(name)}`;
  const { result } = await api.call<readonly ShownHost[]>("GET", path);
  const [host] = result;
  if (host === undefined) throw new Failure("internal", { message: "the API showed no host" });
  return host;
}

/** The certificate that the origin of a host is shown, as text. */
export function presentedTo({ certificate }: ShownOrigin): string {
  if (certificate === null) return "no certificate";
  const { id, name, from } = certificate;
  if (from === "host origin") return `the certificate ${name ?? id}`;
  if (from === "global") return "the global certificate (`countersign host origin-ca`)";
  return `the certificate ${id} of the ${from}`;
}
