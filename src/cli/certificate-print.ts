import { describeDuration } from "../certificates/expiry.ts";
import type {
  ShownCertificate,
  ShownEvent,
  ShownFacts,
  ShownTrust,
  ShownVersion,
} from "./client/certificate-api.ts";
import { colorsFor, writeLine, type Colors, type Io } from "../terminal/io.ts";

/** Warnings go to stderr, so stdout has only the answer. */
export function printWarnings(io: Io, messages: readonly string[]): void {
  const colors = colorsFor(io, io.stderr);
  for (const message of messages) writeLine(io.stderr, `${colors.yellow("!")} ${message}`);
}

/** One line for each certificate: yellow if it expires soon, red if it cannot be presented. */
export function printList(io: Io, certificates: readonly ShownCertificate[]): void {
  const colors = colorsFor(io, io.stdout);
  if (certificates.length === 0) return writeLine(io.stdout, "none");
  const width = Math.max(...certificates.map(({ name }) => (name ?? "—").length));
  for (const certificate of certificates) {
    const { id, name, version, scripts, ca, trust } = certificate;
    const where = ca ? describeTrust(trust) : scripts.length > 0 ? scripts.join(", ") : "unbound";
    const kind = ca ? "CA" : `v${version}`;
    writeLine(
      io.stdout,
      `${(name ?? "—").padEnd(width)}  ${colors.dim(id)}  ${kind.padEnd(4)} ${state(certificate, colors)}  ${colors.dim(where)}`,
    );
    for (const warning of certificate.warnings) {
      writeLine(io.stdout, `${" ".repeat(width)}  ${colors.yellow(`! ${warning}`)}`);
    }
  }
}

export function printVersions(io: Io, versions: readonly ShownVersion[]): void {
  const colors = colorsFor(io, io.stdout);
  for (const version of versions) {
    const mark = version.active ? colors.green("▶") : " ";
    writeLine(
      io.stdout,
      `${mark} ${String(version.version).padStart(3)}  ${state(version, colors)}  ${colors.dim(`${version.subject}  ${version.fingerprint.slice(0, 16)}…  uploaded ${version.uploaded_on}`)}`,
    );
  }
}

export function printCertificate(io: Io, certificate: ShownCertificate, now: Date): void {
  const colors = colorsFor(io, io.stdout);
  const row = (name: string, value: string): void =>
    writeLine(io.stdout, `  ${colors.dim(name.padEnd(12))} ${value}`);
  const { id, name, ca, trust, source } = certificate;
  writeLine(io.stdout, `${colors.bold(name ?? id)}  ${ca ? "CA" : "certificate"}`);
  row("id", id);
  row("state", state(certificate, colors));
  for (const warning of certificate.warnings) row("warning", colors.yellow(warning));
  row("version", `${certificate.version}, uploaded ${certificate.version_uploaded_on}`);
  row("valid", `${certificate.not_before} to ${certificate.expires_on}`);
  row("subject", certificate.subject || "none");
  row("issuer", certificate.issuer);
  row("names", certificate.names.join(", ") || "none");
  row("key", `${certificate.key}, signed with ${certificate.signature}`);
  row("serial", certificate.serial_number);
  row("SHA-256", certificate.fingerprint);
  if (ca) return row("counts for", describeTrust(trust));
  row("bound by", certificate.scripts.join(", ") || "no Worker");
  row("hosts", certificate.allowed_hosts?.join(", ") ?? "any");
  row(
    "trusts",
    certificate.authorities
      ? `only CA ${certificate.authorities.join(", ")}`
      : "public roots and the account's CAs",
  );
  row("handshake", describeHandshake(certificate.last_handshake, now));
  row("failure", describeFailure(certificate.last_failure, now, colors));
  if (!source) return;
  const taken = source.taken_on ? `, last taken ${ago(source.taken_on, now)}` : "";
  row("folder", `${source.folder}${taken}`);
  if (source.failure) row("", colors.red(`${ago(source.failed_on ?? "", now)}: ${source.failure}`));
}

export function describeTrust(trust: ShownTrust | undefined): string {
  if (!trust || trust.account) return "all origins of the account";
  const { certificates, hosts } = trust;
  const places = [
    ...certificates.map((id) => `certificate ${id}`),
    ...hosts.map((host) => `host ${host}`),
  ];
  const ids = trust.spiffe_ids?.length ? `, as ${trust.spiffe_ids.join(" or ")}` : "";
  return places.length > 0 ? places.join(", ") + ids : "nothing";
}

export function state(facts: ShownFacts, colors: Colors): string {
  if (facts.revoked_on) return colors.red(`revoked on ${facts.revoked_on}`);
  if (facts.threshold === null) return facts.expires;
  return facts.threshold <= 3 ? colors.red(facts.expires) : colors.yellow(facts.expires);
}

function describeHandshake(event: ShownEvent | null, now: Date): string {
  if (!event) return "none yet";
  const asked = event.asked === false ? ", which did not ask for it" : "";
  return `${ago(event.at, now)} with ${event.origin ?? "an origin"}${asked}, version ${event.version}, ${event.tlsVersion ?? "TLS"}`;
}

function describeFailure(event: ShownEvent | null, now: Date, colors: Colors): string {
  if (!event) return "none yet";
  const { at, origin, message, code } = event;
  return `${ago(at, now)} with ${origin ?? "an origin"}: ${colors.yellow(message ?? "")} ${colors.dim(`(${code})`)}`;
}

function ago(at: string, now: Date): string {
  return `${describeDuration(Math.max(0, now.getTime() - Date.parse(at)))} ago`;
}
