import type { Command } from "commander";
import { writeJson, type Io } from "../../../terminal/io.ts";
import { apiClient } from "../../client/api-client.ts";
import { dataOption } from "../../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface ShownAuthority {
  /** PEM. */
  readonly certificate: string;
}

export function addHostOriginCa(group: Command, io: Io): void {
  group
    .command("origin-ca")
    .description("the CA of the global certificate, PEM, for origins to trust")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .addHelpText(
      "after",
      `
Where a zone's setting tls_client_auth is on, its origins are shown a certificate of this CA, if neither the hostname nor
the zone has one of its own. In its last year the CA's successor is printed too: trust both.

Example:
  $ countersign host origin-ca > origin-pull-ca.pem`,
    )
    .action(async (options: Options) => {
      const api = await apiClient(io, options);
      const path = "/countersign/origin_pull_authorities";
      const { result } = await api.call<readonly ShownAuthority[]>("GET", path);
      if (options.json) return writeJson(io.stdout, result);
      io.stdout.write(result.map(({ certificate }) => certificate).join(""));
    });
}
