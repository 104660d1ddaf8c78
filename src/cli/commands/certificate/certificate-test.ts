import type { Command } from "commander";
import type { HandshakeReport } from "../../../contract/handshake-report.ts";
import { apiClient } from "../../client/api-client.ts";
import { findShown } from "../../client/certificate-api.ts";
import { dataOption } from "../../data-option.ts";
import { withProgress, writeJson, type Io } from "../../../terminal/io.ts";
import { printHandshake } from "../../handshake-print.ts";
import { Exit, exitStatus } from "../../report.ts";

interface TestOptions {
  readonly data?: string;
  readonly json?: true;
}

export function addCertificateTest(group: Command, io: Io): void {
  group
    .command("test")
    .description("make one handshake with an origin, and print each step")
    .argument("<certificate>", "its id or name")
    .argument("<url>", "https://…, postgres://… or mysql://…: only the handshake is made")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The platform's gateway makes it, as a binding would: same certificate, same trust, same addresses allowed.
A database is asked for TLS in its own protocol, and nobody signs in: \`countersign hyperdrive test\` does.
Exit status: 0 the origin took the certificate, 1 it did not.

Examples:
  $ countersign certificate test my-cert https://api.example.com
  $ countersign certificate test my-cert https://10.0.0.5:8443 --json | jq .verdict
  $ countersign certificate test my-cert postgres://db.example.com:5432`,
    )
    .action(async (name: string, url: string, options: TestOptions) => {
      const api = await apiClient(io, options);
      const { id } = await findShown(api, name, "leaf");
      const path = `/countersign/certificates/${id}/test`;
      const { result } = await withProgress(
        io,
        `Connecting to ${URL.parse(url)?.host ?? url}`,
        () => api.call<HandshakeReport>("POST", path, { url }),
      );
      if (options.json) writeJson(io.stdout, result);
      else printHandshake(io, result);
      if (!result.verdict.ok) throw new Exit(exitStatus.failed);
    });
}
