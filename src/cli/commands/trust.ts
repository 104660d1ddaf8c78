import { type Command, Option } from "commander";
import { X509Certificate } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { platformClient } from "../client/platform-client.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { trustStores } from "../trust-stores.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
  readonly remove?: true;
  readonly print?: true;
  readonly only?: "system" | "chromium";
}

export function addTrustCommand(program: Command, io: Io): void {
  program
    .command("trust")
    .option("--remove", "take every local CA of Countersign out again")
    .option("--print", "print the CA in PEM and change nothing")
    .addOption(new Option("--only <store>", "one store alone").choices(["system", "chromium"]))
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
The CA of https://NAME.localhost is this installation's own. It can speak for localhost, what is below it, loopback addresses
and each --local-name of \`countersign start\`, and for nothing else. It is put into the system's store
(update-ca-certificates, as root) and into this user's store of Chromium (certutil). Node and wrangler read neither: they
need NODE_EXTRA_CA_CERTS.

Examples:
  $ sudo countersign trust --data /var/lib/countersign
  $ countersign trust --only chromium
  $ countersign trust --print > local-ca.pem && export NODE_EXTRA_CA_CERTS=$PWD/local-ca.pem
  $ sudo countersign trust --remove`,
    )
    .action(async (options: Options) => {
      const pem = options.remove ? null : await localAuthority(io, options);
      if (options.print && pem !== null) {
        if (options.json) return writeJson(io.stdout, { certificate: pem });
        return void io.stdout.write(pem);
      }
      const stores = trustStores({ env: io.env }).filter(
        ({ name }) => options.only === undefined || name === options.only,
      );
      if (stores.every(({ missing }) => missing !== null)) {
        const [first] = stores;
        throw new Failure("trust_store_failed", {
          message: `no store was changed: ${first?.missing}`,
          fix: "`countersign trust --print` prints the CA: add it to what your programs trust by hand.",
        });
      }
      const done: { store: string; result: string }[] = [];
      for (const store of stores) {
        const result = store.missing ?? (await change(store, pem));
        done.push({ store: store.name, result });
        if (options.json) continue;
        const { green, dim } = colorsFor(io, io.stdout);
        const mark = store.missing === null ? green("✔") : dim("–");
        writeLine(io.stdout, `${mark} ${store.name.padEnd(8)} ${result}`);
      }
      if (options.json) writeJson(io.stdout, done);
    });
}

async function change(
  store: ReturnType<typeof trustStores>[number],
  pem: string | null,
): Promise<string> {
  if (pem === null) return `took out ${await store.remove()}`;
  await store.add(pem);
  return `trusts ${new X509Certificate(pem).subject?.replaceAll("\n", ", ")}`;
}

async function localAuthority(io: Io, { data }: Options): Promise<string> {
  return platformClient(dataFolderOf(io, data)).localAuthority();
}
