import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { TRUST_DOMAIN } from "../../../contract/identity.ts";
import { Failure } from "../../../failures/failures.ts";
import { storageFailure } from "../../../failures/of-storage.ts";
import { colorsFor, writeLine, type Io } from "../../../terminal/io.ts";

/** Commands for the machine that holds the root: they use no platform and need no network. */
export function addOfflineAuthorityCommands(group: Command, io: Io): void {
  group
    .command("root")
    .description("on a machine without a network: make a root and its key")
    .requiredOption("--account <id>", "the account whose identities it stands above")
    .requiredOption("--out <file>", "the root's certificate, PEM")
    .requiredOption("--key <file>", "its private key, PEM; readable by this user alone")
    .option("--trust-domain <name>", "as the platform was started with", TRUST_DOMAIN)
    .action(async (options: RootOptions) => {
      const { account, trustDomain } = options;
      if (!/^[0-9a-f]{32}$/.test(account)) {
        throw new Failure("usage", {
          message: `"${account}" is not the id of an account: 32 hexadecimal digits`,
          fix: "`countersign whoami` prints it.",
        });
      }
      for (const file of [options.key, options.out]) refuseExisting(io, file);
      const { makeRoot } = await import("../../../identity/authority.ts");
      const root = await makeRoot({ account, trustDomain }, new Date());
      // Never overwrites an existing key.
      write(io, options.key, root.key, { mode: 0o600, flag: "wx" });
      write(io, options.out, root.chain, { flag: "wx" });
      const done = colorsFor(io, io.stdout).green("✔");
      writeLine(io.stdout, `${done} ${options.out}; keep ${options.key} where no network reaches`);
    });
  group
    .command("sign")
    .description("on that machine: sign the request that `prepare --root` printed")
    .requiredOption("--csr <file>", "the request, PEM")
    .requiredOption("--root <file>", "the root's certificate, PEM")
    .requiredOption("--key <file>", "its private key, PEM")
    .option("--days <n>", "how long the intermediate is good, 1 to 3650", parseDays, 365)
    .action(async (options: SignOptions) => {
      const [csr, root, key] = [options.csr, options.root, options.key].map((file) =>
        read(io, file),
      );
      io.stdout.write(await sign({ csr: csr!, root: root!, key: key!, days: options.days }));
    });
}

interface RootOptions {
  readonly account: string;
  readonly out: string;
  readonly key: string;
  readonly trustDomain: string;
}

interface SignOptions {
  readonly csr: string;
  readonly root: string;
  readonly key: string;
  readonly days: number;
}

/** Signs the intermediate, and the root's revocation list, which is valid for as long. */
async function sign({ csr, root, key, days }: SignOptions): Promise<string> {
  const { signIntermediate } = await import("../../../identity/authority.ts");
  const { makeCrl } = await import("../../../identity/crl.ts");
  try {
    const now = new Date();
    const authority = { chain: root, key };
    const names = namesOf(root);
    const chain = await signIntermediate(authority, csr, { ...names, now, days });
    const lifetime = new X509Certificate(chain).validToDate.getTime() - now.getTime();
    const number = Math.floor(now.getTime() / 1000);
    return chain + (await makeCrl(authority, { revoked: [], number, now, lifetime }));
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Failure("identity_request_invalid", {
      message: `nothing was signed: ${reason}`,
      cause,
    });
  }
}

/** The account and the trust domain that `identity ca root` wrote into the root. */
function namesOf(root: string): { readonly account: string; readonly trustDomain: string } {
  const { subject, subjectAltName } = new X509Certificate(root);
  const account = /^O=(.+)$/m.exec(subject)?.[1];
  const trustDomain = /URI:spiffe:\/\/([a-z0-9._-]+)$/.exec(subjectAltName ?? "")?.[1];
  if (account === undefined || trustDomain === undefined) {
    throw new TypeError(
      "this root was not made by `countersign identity ca root`: sign the request with its own tools",
    );
  }
  return { account, trustDomain };
}

function parseDays(text: string): number {
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= 3650) return days;
  throw new InvalidArgumentError("It is a whole number from 1 to 3650.");
}

export function read(io: Io, file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : resolve(io.cwd, file), "utf8");
  } catch (cause) {
    throw new Failure("file_missing", { message: `${file} cannot be read`, cause });
  }
}

/** Before anything is written. @throws Failure `file_exists` */
function refuseExisting(io: Io, file: string): void {
  if (!existsSync(resolve(io.cwd, file))) return;
  throw new Failure("file_exists", {
    message: `${file} exists, and a root's key is never replaced`,
    fix: "Choose another name.",
  });
}

function write(
  io: Io,
  file: string,
  text: string,
  options: { readonly mode?: number; readonly flag: string },
): void {
  try {
    writeFileSync(resolve(io.cwd, file), text, options);
  } catch (cause) {
    const failure = storageFailure(cause, `${file} cannot be written`);
    if (failure !== null) throw failure;
    throw new Failure("file_missing", { message: `${file} cannot be written`, cause });
  }
}
