import type { Command } from "commander";
import { text } from "node:stream/consumers";
import { Failure } from "../../failures/failures.ts";
import type { MadePassword, ShownMember } from "../../platform/access/people.ts";
import { confirm, yesOption } from "../confirm.ts";
import { dataOption } from "../data-option.ts";
import { writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { ownersPlatform } from "../client/access.ts";
import { addOwnCommands, changeOwnPassword } from "./user-own.ts";
import { writeTable } from "../../terminal/table.ts";

const accountOption = [
  "--account <name>",
  "the account, by name or id (default: the first)",
] as const;
const stdinOption = [
  "--password-stdin",
  "read the password from standard input (default: one is made, and shown once)",
] as const;

export function addUserCommand(program: Command, io: Io): void {
  const user = program.command("user");
  const ask = async <T>(options: Options, method: "GET" | "POST", path: string, body?: unknown) =>
    (await ownersPlatform(io, options)).ask<T>(method, path, body);

  user
    .command("add <email>")
    .description("let a person sign in, or into another account")
    .option("--role <role>", "admin, deployer or viewer; has to be given")
    .option(...dataOption)
    .option(...accountOption)
    .option(...stdinOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
An admin may do everything; a deployer deploys Workers and binds the certificates there are; a viewer looks.

Examples:
  $ countersign user add ada@example.com --role admin
  $ countersign user add ci-team@example.com --role deployer --account Shop --password-stdin < password`,
    )
    .action(async (email: string, options: AddOptions) => {
      const { role, account } = options;
      refuseWrongAddress(email);
      if (role === undefined) {
        throw new Failure("usage", {
          message: "--role is not given",
          fix: `Say what ${email} may do: --role admin, deployer or viewer.`,
        });
      }
      const password = await passwordFrom(io, options);
      const made = await ask<MadePassword>(options, "POST", "/users", {
        email,
        role,
        account,
        password,
      });
      if (options.json) return writeJson(io.stdout, made);
      writeLine(io.stdout, `${made.email} may sign in as ${role}`);
      showPassword(io, made);
    });
  user
    .command("list")
    .description("list who is in which account")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const members = await ask<ShownMember[]>(options, "GET", "/users");
      if (options.json) return writeJson(io.stdout, members);
      const rows = members.map(({ email, role, account, since }) => [
        email,
        role,
        account,
        since.slice(0, 10),
      ]);
      writeTable(io, ["e-mail", "role", "account", "since"], rows);
    });
  user
    .command("role <email> <role>")
    .description("change what a person may do, effective at once")
    .option(...dataOption)
    .option(...accountOption)
    .option("--json", "one JSON object")
    .action(async (email: string, role: string, options: Options & { account?: string }) => {
      const changed = await ask(options, "POST", "/users/role", {
        email,
        role,
        account: options.account,
      });
      if (options.json) return writeJson(io.stdout, changed);
      writeLine(io.stdout, `${email} is ${role} now`);
    });
  user
    .command("remove <email>")
    .description("remove a person, with their tokens and logins")
    .option(...yesOption)
    .option(...dataOption)
    .option("--account <name>", "of this account only")
    .option("--json", "one JSON object")
    .action(async (email: string, options: Options & { account?: string; yes?: true }) => {
      const where = options.account === undefined ? "every account" : `account ${options.account}`;
      await confirm(
        io,
        options,
        `This takes ${email} out of ${where}, with their tokens and logins`,
      );
      const removed = await ask(options, "POST", "/users/remove", {
        email,
        account: options.account,
      });
      if (options.json) return writeJson(io.stdout, removed);
      writeLine(io.stdout, `${email} may sign in no longer`);
    });
  user
    .command("password [email]")
    .description(
      "give a person another password, and sign them out everywhere; without an address, change your own",
    )
    .option(...dataOption)
    .option(...stdinOption)
    .option("--json", "one JSON object")
    .addHelpText("after", PASSWORD_HELP)
    .action(async (email: string | undefined, options: Options & { passwordStdin?: true }) => {
      if (email === undefined) return changeOwnPassword(io, options);
      const password = await passwordFrom(io, options);
      const made = await ask<MadePassword>(options, "POST", "/users/password", { email, password });
      if (options.json) return writeJson(io.stdout, made);
      writeLine(io.stdout, `${made.email} has another password`);
      showPassword(io, made);
    });
  addOwnCommands(user, io);
}

const PASSWORD_HELP = `
Your own is changed where you are signed in with \`countersign login\`; your other logins end. The
standard input has two lines then: the password as it is, and the new one.

Examples:
  $ countersign user password ada@example.com
  $ printf '%s\\n' "$OLD" "$NEW" | countersign user password --password-stdin`;

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface AddOptions extends Options {
  readonly role?: string;
  readonly account?: string;
  readonly passwordStdin?: true;
}

/** The platform checks addresses too; this check comes before anything is asked on the terminal. */
function refuseWrongAddress(email: string): void {
  if (/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email)) return;
  throw new Failure("usage", {
    message: `"${email}" is not an e-mail address`,
    fix: "People sign in with one: `countersign user add ada@example.com --role admin`.",
  });
}

async function passwordFrom(
  { stdin }: Io,
  options: { readonly passwordStdin?: true },
): Promise<string | undefined> {
  if (!options.passwordStdin) return undefined;
  if (!stdin) throw new Failure("usage", { message: "--password-stdin needs standard input" });
  return (await text(stdin)).replace(/\r?\n$/, "");
}

function showPassword(io: Io, { password }: MadePassword): void {
  if (password !== null)
    writeLine(io.stdout, `Password  ${password}   shown once: only its hash is kept`);
}
