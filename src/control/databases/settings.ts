import { z } from "@hono/zod-openapi";
import { IDENTITY } from "../../contract/identity.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import type { HyperdriveConfigRow } from "../../store/schema.ts";
import { line, oneLine } from "../api/text.ts";
import { existingCertificate } from "../certificates/certificate-intake.ts";
import { refuseAuthority, refuseLeaf } from "../certificates/trust.ts";
import { unbracketed } from "../../network/unbracketed.ts";

/** A client's change of a configuration. Fields that are left out keep their value, or get the default. */
export interface ConfigChange {
  readonly name?: string | undefined;
  readonly origin?: OriginChange | undefined;
  /** Accepted, so that clients need not care, but queries are not cached here. */
  readonly caching?: { readonly disabled?: boolean | undefined } | null | undefined;
  readonly mtls?: TlsChange | null | undefined;
  readonly origin_connection_limit?: number | null | undefined;
}

interface OriginChange {
  readonly scheme?: "postgres" | "postgresql" | "mysql" | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly [field: string]: unknown;
}

interface TlsChange {
  readonly ca_certificate_id?: string | null | undefined;
  readonly mtls_certificate_id?: string | null | undefined;
  readonly sslmode?: string | null | undefined;
}

/** The schema of a whole configuration. */
export function wholeConfig(): z.ZodType<ConfigChange> {
  const { port, ...needed } = originFields();
  return z.object({
    name: configName(),
    origin: z.object({ ...needed, port: port.optional() }).loose(),
    ...others(),
  });
}

/** The schema of a partial change. */
export function changedConfig(): z.ZodType<ConfigChange> {
  return z.object({
    name: configName().optional(),
    origin: z.object(originFields()).partial().loose().optional(),
    ...others(),
  });
}

const configName = () => oneLine.trim().min(1).max(255);

const originFields = () => ({
  scheme: z.enum(["postgres", "postgresql", "mysql"]),
  host: oneLine.min(1).max(255),
  port: z.int().min(1).max(65_535),
  database: oneLine.min(1).max(255),
  user: oneLine.min(1).max(255),
  password: line.min(1).max(4_096),
});

const others = () => ({
  caching: z.object({ disabled: z.boolean().optional() }).loose().nullish(),
  mtls: z
    .object({
      ca_certificate_id: oneLine.nullish(),
      mtls_certificate_id: oneLine.nullish(),
      sslmode: oneLine.nullish(),
    })
    .nullish(),
  origin_connection_limit: z.int().min(1).max(1_000).nullish(),
});

/** A configuration without its password. */
export type Settings = Omit<
  HyperdriveConfigRow,
  "id" | "accountId" | "sealedPassword" | "createdOn" | "modifiedOn"
>;

/**
 * A configuration after a change. `before` is null for a new one, whose origin must be complete.
 * @throws Failure `hyperdrive_origin_unsupported`, `hyperdrive_tls_invalid`
 */
export function changed(before: Settings | null, change: ConfigChange): Settings {
  const origin = change.origin ?? {};
  refuseOrigin(origin);
  const family = origin.scheme ?? before?.scheme ?? "postgresql";
  const tls = change.mtls ?? {};
  const ca =
    tls.ca_certificate_id === undefined
      ? (before?.caCertificateId ?? null)
      : tls.ca_certificate_id || null;
  const certificate =
    tls.mtls_certificate_id === undefined
      ? (before?.mtlsCertificateId ?? null)
      : tls.mtls_certificate_id || null;
  const isSameFamily = before !== null && isMysql(before.scheme) === isMysql(family);
  // A default mode depends on whether there is a CA, so it is not kept when a CA is added later.
  const kept = isSameFamily && !isDefault(before) ? before.sslmode : undefined;
  const sslmode = tls.sslmode ?? kept ?? defaultMode(family, ca);
  refuseMode(family, sslmode, ca);
  return {
    name: change.name ?? before?.name ?? "",
    scheme: family,
    host: origin.host === undefined ? (before?.host ?? "") : hostOf(origin.host),
    port: origin.port ?? before?.port ?? (isMysql(family) ? 3306 : 5432),
    database: origin.database ?? before?.database ?? "",
    user: origin.user ?? before?.user ?? "",
    caCertificateId: ca,
    mtlsCertificateId: certificate,
    sslmode,
    connectionLimit: change.origin_connection_limit ?? before?.connectionLimit ?? 60,
  };
}

/** @throws Failure `certificate_not_found`, `certificate_kind_differs` */
export async function assertCertificates(
  db: Database,
  accountId: string,
  { caCertificateId, mtlsCertificateId }: Settings,
): Promise<void> {
  if (caCertificateId !== null) {
    refuseLeaf(await existingCertificate(db, accountId, caCertificateId));
  }
  if (mtlsCertificateId !== null && mtlsCertificateId !== IDENTITY) {
    refuseAuthority(await existingCertificate(db, accountId, mtlsCertificateId));
  }
}

const PLACES: Readonly<Record<string, string>> = {
  service_id: "a Workers VPC service",
  access_client_id: "Access",
  access_client_secret: "Access",
};

function refuseOrigin(origin: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(origin)) {
    const how = PLACES[field];
    if (how === undefined || value === undefined || value === null) continue;
    throw new Failure("hyperdrive_origin_unsupported", {
      message: `"origin.${field}" asks for a database behind ${how}, which Countersign does not do`,
      facts: { field },
    });
  }
}

const MODES = {
  postgres: ["require", "verify-ca", "verify-full"],
  mysql: ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"],
} as const;

function isMysql(family: string): boolean {
  return family === "mysql";
}

function modesOf(family: string): readonly string[] {
  return MODES[isMysql(family) ? "mysql" : "postgres"];
}

function defaultMode(family: string, ca: string | null): string {
  return modesOf(family)[ca === null ? 0 : 2]!;
}

function isDefault({ scheme: family, sslmode, caCertificateId }: Settings): boolean {
  return sslmode === defaultMode(family, caCertificateId);
}

function refuseMode(family: string, sslmode: string, ca: string | null): void {
  const modes = modesOf(family);
  const index = modes.indexOf(sslmode);
  const why =
    index < 0
      ? `"${sslmode.slice(0, 50)}" is no sslmode of ${family}, which has ${modes.join(", ")}`
      : index === 0 && ca !== null
        ? `"${sslmode}" takes no CA of its own`
        : index === 1 && ca === null
          ? `"${sslmode}" needs a CA`
          : null;
  if (why === null) return;
  throw new Failure("hyperdrive_tls_invalid", { message: why, facts: { sslmode } });
}

/** Lower case, without the brackets of an IPv6 address, and without a dot at the end. */
function hostOf(text: string): string {
  const isAddress = text.includes(":") && !text.startsWith("[");
  const url = URL.parse(`https://${isAddress ? `[${text}]` : text}/`);
  const host = unbracketed(url?.hostname.replace(/\.$/, "") ?? "");
  if (url !== null && host !== "" && url.pathname === "/" && url.port === "" && !url.username) {
    return host;
  }
  throw new Failure("request_invalid", { message: `"${text.slice(0, 100)}" is no host` });
}
