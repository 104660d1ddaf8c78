import type { Command } from "commander";
import { text } from "node:stream/consumers";
import { Failure } from "../../failures/failures.ts";
import type { Session } from "../../store/access/sessions.ts";
import { writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { writeTable } from "../../terminal/table.ts";
import { apiClient } from "../client/api-client.ts";
import { ownersPlatform } from "../client/access.ts";
import { dataOption } from "../data-option.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

const stdinOption = ["--password-stdin", "read your password from standard input"] as const;
const PATH = "/user/countersign";

/**
 * `user totp` and `user sessions`: for the person who is signed in, or, for the owner of the data folder, for anybody.
 */
export function addOwnCommands(user: Command, io: Io): void {
  addTotp(user.command("totp").description("an authenticator app beside the password"), io);
  const sessions = user.command("sessions").description("where people are signed in");
  sessions
    .command("list [email]", { isDefault: true })
    .description("your own logins; with an address, and the data folder, a person's")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (email: string | undefined, options: Options) => {
      const found =
        email === undefined
          ? (await ask<readonly OwnSession[]>(io, options, "GET", "/sessions")).map(asSession)
          : await (
              await ownersPlatform(io, options)
            ).ask<readonly Shown[]>("GET", `/users/sessions?email=${encodeURIComponent(email)}`);
      if (options.json) return writeJson(io.stdout, found);
      const rows = found.map(({ id, clientId, begunOn, expiresOn, current }) => [
        id,
        clientId,
        (begunOn ?? "").slice(0, 16).replace("T", " "),
        expiresOn.slice(0, 16).replace("T", " "),
        current ? "this one" : "",
      ]);
      writeTable(io, ["id", "with", "begun (UTC)", "ends (UTC)", ""], rows);
    });
  sessions
    .command("end <id> [email]")
    .description("end a login with its tokens; with an address, and the data folder, a person's")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (id: string, email: string | undefined, options: Options) => {
      if (email === undefined) {
        await ask(io, options, "DELETE", `/sessions/${encodeURIComponent(id)}`);
      } else {
        const platform = await ownersPlatform(io, options);
        await platform.ask("POST", "/users/sessions/end", { email, id });
      }
      if (options.json) return writeJson(io.stdout, { id, ended: true });
      writeLine(io.stdout, `The login ${id} has ended`);
    });
}

function addTotp(totp: Command, io: Io): void {
  totp
    .command("add")
    .description("begin to enrol your authenticator app")
    .requiredOption(...stdinOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign login https://countersign.example
  $ countersign user totp add --password-stdin < password
  $ countersign user totp confirm 123456`,
    )
    .action(async (options: Options) => {
      const [password = ""] = await lines(io);
      const { uri } = await ask<{ uri: string }>(io, options, "POST", "/second_factor", {
        password,
      });
      if (options.json) return writeJson(io.stdout, { uri });
      writeLine(io.stdout, uri);
      writeLine(
        io.stdout,
        "Give this to your app (it is shown once), then: countersign user totp confirm CODE",
      );
    });
  totp
    .command("confirm <code>")
    .description("prove that the app has it: from then on each sign-in asks for a code")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (code: string, options: Options) => {
      const result = await ask<{ recovery_codes: readonly string[] }>(
        io,
        options,
        "PUT",
        "/second_factor",
        { code },
      );
      if (options.json) return writeJson(io.stdout, result);
      writeLine(
        io.stdout,
        "In force. Each of these signs you in once without the app; shown once:",
      );
      for (const each of result.recovery_codes) writeLine(io.stdout, `  ${each}`);
    });
  totp
    .command("remove [email]")
    .description("sign in without a code again; with an address, and the data folder, a person")
    .option(...stdinOption)
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (email: string | undefined, options: Options & { passwordStdin?: true }) => {
      if (email !== undefined) {
        const platform = await ownersPlatform(io, options);
        await platform.ask("POST", "/users/factor/remove", { email });
      } else {
        if (!options.passwordStdin)
          throw new Failure("usage", { message: "give --password-stdin" });
        const [password = ""] = await lines(io);
        await ask(io, options, "POST", "/second_factor/remove", { password });
      }
      if (options.json) return writeJson(io.stdout, { removed: true });
      writeLine(io.stdout, `${email ?? "You"} may sign in without a code`);
    });
}

/** The two lines of standard input are the current password and the new one. */
export async function changeOwnPassword(
  io: Io,
  options: Options & { readonly passwordStdin?: true },
): Promise<void> {
  if (!options.passwordStdin) {
    throw new Failure("usage", {
      message:
        "your own password is changed with --password-stdin: the one as it is, and a new one",
    });
  }
  const [current = "", password = ""] = await lines(io);
  const changed = await ask<{ email: string; ended: number }>(io, options, "PUT", "/password", {
    current,
    password,
  });
  if (options.json) return writeJson(io.stdout, changed);
  writeLine(io.stdout, `${changed.email} has another password; your other logins have ended`);
}

async function ask<T>(
  io: Io,
  options: Options,
  method: string,
  path: string,
  body?: object,
): Promise<T> {
  const client = await apiClient(io, options);
  return (await client.callAbove<T>(method, PATH + path, body)).result;
}

async function lines({ stdin }: Io): Promise<readonly string[]> {
  if (!stdin) throw new Failure("usage", { message: "--password-stdin needs standard input" });
  return (await text(stdin)).split(/\r?\n/);
}

interface OwnSession {
  readonly id: string;
  readonly client: string;
  readonly begun_on: string | null;
  readonly expires_on: string;
  readonly current: boolean;
}

type Shown = Omit<Session, "userId"> & { readonly current?: boolean };

function asSession({ id, client, begun_on, expires_on, current }: OwnSession): Shown {
  return { id, clientId: client, begunOn: begun_on, expiresOn: expires_on, current };
}
