import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { tryRead, validityOf } from "../certificates/shown.ts";
import type { HostClients } from "../contract/hosts.ts";
import type { FailureCode } from "../failures/failures.ts";
import { NO_CLIENT_CERTIFICATE } from "./cf.ts";
import { type TlsClientAuth, tlsClientAuth } from "./client-certificate.ts";
import { type Path, pathOf } from "./client-path.ts";
import type { HostEntry } from "./tls/hosts.ts";

/** What a request's client proved for the host that the request is for. */
export interface Judged {
  /** Null: it may come in. */
  readonly refusal: FailureCode | null;
  /** For the Worker. The same object for as long as nothing changed. */
  readonly tls: TlsClientAuth | typeof NO_CLIENT_CERTIFICATE;
  /** RFC 9440, where the host's Worker wants it. Flat: name, value … */
  readonly headers: readonly string[];
}

/** Judges clients by their certificates: at each request, by the rules that hold at that moment. */
export class Clients {
  readonly #connections = new WeakMap<TLSSocket, Connection>();
  /**
   * For each host, the chains that clients sent in full handshakes. A resumed session has only the
   * leaf.
   */
  readonly #sent = new WeakMap<HostEntry, Map<string, Path>>();

  /** A handshake that asked for a certificate has ended. */
  began(socket: TLSSocket, entry: HostEntry): void {
    forgetErrors(socket);
    this.#connections.set(socket, {
      entry,
      authorities: entry.clients?.authorities ?? [],
      access: entry.access,
      isPartial: false,
      path: null,
      judged: null,
    });
  }

  /**
   * @param socket null: plain HTTP
   * @param entry of the host that the request is for
   */
  judge(socket: TLSSocket | null, entry: HostEntry | null, now: number = Date.now()): Judged {
    const rules = entry?.clients ?? null;
    if (entry === null || rules === null) return NOTHING_ASKED;
    const connection = socket === null ? undefined : this.#connections.get(socket);
    if (socket === null) return rules.mode === "required" ? MISSING : NOTHING_ASKED;
    // The host was given its rules after the handshake, or the handshake was for another.
    if (connection?.entry !== entry) return STALE;
    const known = connection.judged;
    if (known !== null && known.rules === rules && now >= known.from && now < known.until) {
      return known.judged;
    }
    connection.path ??= this.#path(socket, connection);
    const fresh = judgePath(connection, rules, now);
    connection.judged = { rules, ...fresh };
    return fresh.judged;
  }

  /**
   * Whether the client's certificate is good by one of these CAs, for Access: judged as for `judge`.
   * Null: it proves nothing.
   * @param authorities PEM
   */
  proves(
    socket: TLSSocket | null,
    authorities: readonly string[],
    now: number = Date.now(),
  ): { readonly commonName: string } | null {
    const connection = socket === null ? undefined : this.#connections.get(socket);
    if (socket === null || connection === undefined || authorities.length === 0) return null;
    const { entry } = connection;
    const path = (connection.path ??= this.#path(socket, connection));
    const counting = authorities.filter(
      (pem) => connection.access.includes(pem) && entry.access.includes(pem),
    );
    if (path === "none" || path.error !== null || !isInTime(path, now)) return null;
    const { root, above } = pathOf(path.leaf, { authorities: parsedAll(counting), error: null });
    if (root === null) return null;
    const rules = entry.clients;
    const passed = [path.leaf, ...path.above, ...above];
    if (rules !== null && passed.some((one) => isOn(one, rules))) return null;
    return { commonName: commonNameOf(path.leaf) };
  }

  #path(socket: TLSSocket, connection: Connection): Path | "none" {
    const { entry, authorities } = connection;
    const leaf = tryRead(() => socket.getPeerX509Certificate());
    if (leaf === undefined) return "none";
    let kept = this.#sent.get(entry);
    if (kept === undefined) this.#sent.set(entry, (kept = new Map()));
    const error = socket.authorized ? null : errorOf(socket.authorizationError);
    const isResumed = socket.isSessionReused();
    const sent = isResumed ? kept.get(leaf.fingerprint256) : undefined;
    if (sent !== undefined) return { ...sent, error };
    const path = pathOf(leaf, { authorities: parsedAll(authorities), error });
    connection.isPartial = isResumed;
    if (isResumed) return path;
    if (error !== null) return path;
    if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value!);
    kept.set(leaf.fingerprint256, path);
    return path;
  }
}

/**
 * OpenSSL leaves an error behind for a certificate with an extension that it cannot read. Node takes
 * that for a failure of the connection's next read and resets it, where it has to be judged and told
 * why. Asking for the certificate takes the error away.
 */
function forgetErrors(socket: TLSSocket): void {
  if (!socket.authorized) tryRead(() => socket.getPeerX509Certificate());
}

/** Chains of one host that are kept for sessions which are resumed. */
const MOST_KEPT = 1_000;

interface Connection {
  readonly entry: HostEntry;
  /** Those of the handshake. */
  readonly authorities: readonly string[];
  /** Those of Access at the handshake, which verified by both. */
  readonly access: readonly string[];
  /** A resumed session whose chain is not known any more. */
  isPartial: boolean;
  path: Path | "none" | null;
  judged: (Verdict & { readonly rules: HostClients }) | null;
}

interface Verdict {
  readonly judged: Judged;
  /** ms since 1970 between which it holds. */
  readonly from: number;
  readonly until: number;
}

const NOTHING_ASKED: Judged = { refusal: null, tls: NO_CLIENT_CERTIFICATE, headers: [] };
const MISSING: Judged = { ...NOTHING_ASKED, refusal: "client_certificate_missing" };
const STALE: Judged = { ...NOTHING_ASKED, refusal: "client_handshake_outdated" };

function judgePath(connection: Connection, rules: HostClients, now: number): Verdict {
  const { path, authorities } = connection;
  const always = { from: -Infinity, until: Infinity };
  const isRequired = rules.mode === "required";
  if (path === null || path === "none") {
    return { judged: isRequired ? MISSING : NOTHING_ASKED, ...always };
  }
  const found = foundOf(path, connection);
  // If Access has CAs of its own here, a session without a known chain cannot be assigned to a CA.
  const isUnknown = connection.isPartial && path.root === null && connection.access.length > 0;
  if (found === null && (isUnknown || !stillLeads(path, authorities, rules))) {
    return { judged: STALE, ...always };
  }
  // The result of the handshake stays. Certificates that have expired since are rejected.
  const { notBefore, notAfter } = validityOf(path.leaf);
  const from = notBefore.getTime() || -Infinity;
  const until = notAfter.getTime() || Infinity;
  const error =
    found ?? (now < from ? "CERT_NOT_YET_VALID" : now >= until ? "CERT_HAS_EXPIRED" : null);
  const isRevoked = [path.leaf, ...path.above].some((one) => isOn(one, rules));
  const tls = tlsClientAuth({ ...path, error, isRevoked });
  const isGood = error === null && !isRevoked;
  return {
    judged: {
      refusal: isRequired && !isGood ? refusalOf(error) : null,
      tls,
      headers: rules.forward && isGood ? rfc9440(tls) : [],
    },
    from: now < from ? -Infinity : from,
    until: now < from ? from : now >= until ? Infinity : until,
  };
}

/** What the handshake found. One that is good for Access alone is not good for the host's own rules. */
function foundOf(path: Path, connection: Connection): string | null {
  if (path.error !== null || path.root !== null) return path.error;
  const { access, authorities, isPartial } = connection;
  const isOthers = !isPartial && access.some((pem) => !authorities.includes(pem));
  return isOthers ? "UNABLE_TO_VERIFY_LEAF_SIGNATURE" : null;
}

function isInTime({ leaf }: Path, now: number): boolean {
  const { notBefore, notAfter } = validityOf(leaf);
  return now >= notBefore.getTime() && now < notAfter.getTime();
}

/** If there are several, none counts, because it is unknown which one is meant. */
function commonNameOf({ subject }: X509Certificate): string {
  const names = (subject ?? "").split("\n").filter((line) => line.startsWith("CN="));
  return names.length === 1 ? names[0]!.slice(3) : "";
}

/**
 * Whether the CA of the handshake still counts. One whose chain is not known any more, as of a
 * resumed session, cannot be told of a CA that was taken away or an intermediate that was revoked.
 */
function stillLeads(path: Path, before: readonly string[], rules: HostClients): boolean {
  const isReduced = !before.every((pem) => rules.authorities.includes(pem));
  if (path.root === null) return !isReduced && rules.revoked.length === 0;
  if (!isReduced) return true;
  return parsedAll(rules.authorities).some(
    ({ fingerprint256 }) => fingerprint256 === path.root?.fingerprint256,
  );
}

/** By fingerprint, by number of whatever issuer, or by number and issuer. */
function isOn(certificate: X509Certificate, rules: HostClients): boolean {
  const revoked = revokedOf(rules);
  if (revoked.size === 0) return false;
  const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  const serial = tryRead(() => certificate.serialNumber) ?? "";
  const issuer = tryRead(() => certificate.issuer) ?? "";
  return revoked.has(fingerprint) || revoked.has(serial) || revoked.has(`${serial} ${issuer}`);
}

const revokedSets = new WeakMap<HostClients, ReadonlySet<string>>();

function revokedOf(rules: HostClients): ReadonlySet<string> {
  let known = revokedSets.get(rules);
  if (known === undefined) revokedSets.set(rules, (known = new Set(rules.revoked)));
  return known;
}

function refusalOf(error: string | null): FailureCode {
  if (error === null) return "client_certificate_revoked";
  return error === "CERT_HAS_EXPIRED" || error === "CERT_NOT_YET_VALID"
    ? "client_certificate_expired"
    : "client_certificate_untrusted";
}

function rfc9440({ certRFC9440, certChainRFC9440 }: TlsClientAuth): string[] {
  const headers = certRFC9440 === "" ? [] : ["Client-Cert", String(certRFC9440)];
  if (certChainRFC9440 !== "") headers.push("Client-Cert-Chain", String(certChainRFC9440));
  return headers;
}

/** Node has the code as a string here, whatever its types say. */
function errorOf(error: unknown): string {
  if (typeof error === "string") return error;
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === "string" ? code : "UNSPECIFIED";
}

const parsed = new WeakMap<readonly string[], readonly X509Certificate[]>();

function parsedAll(authorities: readonly string[]): readonly X509Certificate[] {
  let known = parsed.get(authorities);
  if (known === undefined) {
    known = authorities.flatMap((pem) => tryRead(() => new X509Certificate(pem)) ?? []);
    parsed.set(authorities, known);
  }
  return known;
}
