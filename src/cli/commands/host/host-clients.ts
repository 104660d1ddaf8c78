import { type Command, Argument } from "commander";
import { apiClient } from "../../client/api-client.ts";
import { authorityNames } from "../../client/certificate-api.ts";
import { addRevocationList } from "../../client/revocation-list-api.ts";
import { dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly ca?: string[];
  readonly forward?: boolean;
  readonly crl?: string;
}

interface Rules {
  readonly host: string;
  readonly mode: "off" | "optional" | "required";
  readonly authorities?: readonly string[];
  readonly forward?: boolean;
}

export function addHostClients(group: Command, io: Io): void {
  group
    .command("clients")
    .description("whether a host asks for client certificates, and of which CAs")
    .argument("<host>", "`api.example.com`, or `*.example.com` for any host below it")
    .addArgument(
      new Argument(
        "[mode]",
        "`optional` tells the Worker of the certificate; `required` refuses others",
      ).choices(["off", "optional", "required"]),
    )
    .option("--ca <name...>", "CAs by name or id, or `managed`, the account's own (default)")
    .option("--forward", "send `Client-Cert` and `Client-Cert-Chain` (RFC 9440) to the Worker")
    .option("--no-forward", "stop sending them")
    .option("--crl <file-or-url>", "take this revocation list too, as `countersign host crl` does")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Without a mode it shows what holds. It is in force on return, on open connections too. Clients have to come over
https:// (\`countersign start --https-port\`): over plain HTTP a host that requires a certificate refuses everybody.

Examples:
  $ countersign ca upload --cert partners-ca.pem --name partners
  $ countersign host clients api.example.com required --ca partners
  $ countersign host clients api.example.com optional --ca partners managed --forward
  $ countersign host clients api.example.com required --ca partners --crl https://pki.example.com/partners.crl
  $ countersign host clients api.example.com off`,
    )
    .action(async (host: string, mode: Rules["mode"] | undefined, options: Options) => {
      const api = await apiClient(io, options);
      const path = "/countersign/hosts";
      if (options.crl !== undefined) await addRevocationList(api, io, options.crl);
      const found =
        mode === undefined
          ? await api
              .call<readonly Rules[]>("GET", `${path}/clients`)
              .then(({ result }) => result.find((one) => one.host === host.toLowerCase()))
          : await api
              .call<Rules>("PUT", `${path}/${encodeURIComponent(host)}/clients`, {
                mode,
                ...(options.ca && { authorities: options.ca }),
                ...(options.forward !== undefined && { forward: options.forward }),
              })
              .then(({ result }) => result);
      const rules: Rules = found ?? { host, mode: "off" };
      if (options.json) return writeJson(io.stdout, rules);
      const mark = mode === undefined ? "" : `${colorsFor(io, io.stdout).green("✔")} `;
      const names = await authorityNames(api, rules.authorities ?? []);
      writeLine(io.stdout, `${mark}${rules.host}: ${described(rules, names)}`);
    });
}

function described({ mode, forward }: Rules, authorities: readonly string[]): string {
  if (mode === "off") return "asks for no client certificate";
  const from = authorities.length === 0 ? "of no CA at all" : `of ${authorities.join(", ")}`;
  const told = forward ? "; its Worker gets `Client-Cert`" : "";
  return `client certificates ${from} are ${mode}${told}`;
}
