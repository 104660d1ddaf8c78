import type { Command } from "commander";
import type { HandshakeReport } from "../../contract/handshake-report.ts";
import { calledBy } from "../../certificates/shown.ts";
import { apiClient } from "../client/api-client.ts";
import { findShown } from "../client/certificate-api.ts";
import { dataOption } from "../data-option.ts";
import { colorsFor, withProgress, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { Exit, exitStatus } from "../report.ts";

interface TestOptions {
  readonly data?: string;
  readonly json?: true;
}

export function addCertificateTest(group: Command, io: Io): void {
  group
    .command("test")
    .description("make one handshake with an origin, and say step by step how it went")
    .argument("<certificate>", "its id or name")
    .argument("<url>", "https://…: no request is sent, only the handshake is made")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The platform's gateway makes it, as a binding would: same certificate, same trust, same addresses allowed.
Exit status: 0 the origin took the certificate, 1 it did not.

Examples:
  $ countersign certificate test my-cert https://api.example.com
  $ countersign certificate test my-cert https://10.0.0.5:8443 --json | jq .verdict`,
    )
    .action(async (name: string, url: string, options: TestOptions) => {
      const api = await apiClient(io, options);
      const { id } = await findShown(api, name, "leaf");
      const path = `/countersign/certificates/${id}/test`;
      const { result } = await withProgress(io, `Connecting to ${url}`, () =>
        api.call<HandshakeReport>("POST", path, { url }),
      );
      if (options.json) writeJson(io.stdout, result);
      else print(io, result);
      if (!result.verdict.ok) throw new Exit(exitStatus.failed);
    });
}

function print(io: Io, report: HandshakeReport): void {
  const colors = colorsFor(io, io.stdout);
  const row = (name: string, value: string): void =>
    writeLine(io.stdout, `  ${colors.dim(name.padEnd(10))} ${value}`);
  const { address, connectMs, tls, presented, originChain, acceptedAuthorities, verdict } = report;
  writeLine(io.stdout, `${verdict.ok ? colors.green("✔") : colors.red("✘")} ${verdict.message}`);
  if (address !== null)
    row("address", `${address}${connectMs === null ? "" : `, ${Math.round(connectMs)} ms`}`);
  if (tls) {
    row(
      "TLS",
      `${tls.version}, ${tls.cipher}, ${tls.protocol ?? "no ALPN"}, ${Math.round(tls.handshakeMs)} ms`,
    );
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
  if (acceptedAuthorities && acceptedAuthorities.length > 0) {
    row("accepts", acceptedAuthorities.join("; "));
  }
  if (verdict.ok) return;
  row("why", verdict.cause);
  row("do", verdict.fix);
  row("code", verdict.code);
}
