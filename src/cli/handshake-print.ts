import { calledBy } from "../certificates/shown.ts";
import type { HandshakeReport } from "../contract/handshake-report.ts";
import { colorsFor, writeLine, type Io } from "../terminal/io.ts";

/** Prints each step of a handshake, up to the one that failed. */
export function printHandshake(io: Io, report: HandshakeReport): void {
  const colors = colorsFor(io, io.stdout);
  const row = (name: string, value: string): void =>
    writeLine(io.stdout, `  ${colors.dim(name.padEnd(10))} ${value}`);
  const { address, connectMs, asksTls, tls, presented, originChain, signIn, verdict } = report;
  const { acceptedAuthorities } = report;
  writeLine(io.stdout, `${verdict.ok ? colors.green("✔") : colors.red("✘")} ${verdict.message}`);
  if (address !== null)
    row("address", `${address}${connectMs === null ? "" : `, ${Math.round(connectMs)} ms`}`);
  if (asksTls) row("asks", `${asksTls.request}: it speaks TLS, ${Math.round(asksTls.ms)} ms`);
  if (tls) {
    const protocol = asksTls ? "" : `, ${tls.protocol ?? "no ALPN"}`;
    row("TLS", `${tls.version}, ${tls.cipher}${protocol}, ${Math.round(tls.handshakeMs)} ms`);
    row(
      "asked",
      tls.asked ? "yes, for a client certificate" : "no: the certificate was not presented",
    );
  }
  for (const leaf of presented.slice(0, 1))
    row("presented", `${calledBy(leaf)}, version ${report.version}`);
  for (const [index, { subject, names }] of originChain.entries()) {
    row(
      index === 0 ? "origin" : "",
      `${subject || "no subject"}${names.length > 0 ? ` (${names.join(", ")})` : ""}`,
    );
  }
  if (signIn)
    row("signed in", `${signIn.user}, to ${signIn.database}, ${Math.round(signIn.ms)} ms`);
  if (acceptedAuthorities && acceptedAuthorities.length > 0) {
    row("accepts", acceptedAuthorities.join("; "));
  }
  if (verdict.ok) return;
  row("why", verdict.cause);
  row("do", verdict.fix);
  row("code", verdict.code);
}
