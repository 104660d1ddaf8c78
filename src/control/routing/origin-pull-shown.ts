import type { OriginPullCertificateRow, OriginPullHostRow } from "../../store/schema.ts";

export function shownPull(
  row: OriginPullCertificateRow,
  status: "active" | "deleted" = "active",
): object {
  return {
    id: row.id,
    certificate: row.chain,
    issuer: row.issuer,
    serial_number: row.serialNumber,
    signature: row.signature,
    status,
    expires_on: row.notAfter,
    uploaded_on: row.uploadedOn,
  };
}

export function shownPullHost(
  { host, enabled, createdOn, updatedOn }: OriginPullHostRow,
  certificate: OriginPullCertificateRow,
  isVoid = false,
): object {
  return {
    hostname: host,
    enabled: isVoid ? null : enabled === 1,
    status: isVoid ? "deleted" : "active",
    created_at: createdOn,
    updated_at: updatedOn,
    cert_id: certificate.id,
    cert_status: "active",
    cert_uploaded_on: certificate.uploadedOn,
    cert_updated_at: certificate.uploadedOn,
    certificate: certificate.chain,
    issuer: certificate.issuer,
    serial_number: certificate.serialNumber,
    signature: certificate.signature,
    expires_on: certificate.notAfter,
  };
}
