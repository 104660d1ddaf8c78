import type { Command } from "commander";
import { spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Failure } from "../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { accountsOf, apiClient, assertPlatform, type Account } from "../client/api-client.ts";
import { loginFile, readLogin, removeLogin, writeLogin } from "../client/login-file.ts";
import type { LoginRequest } from "../client/oauth.ts";
import { platformClient } from "../client/platform-client.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";

interface LoginOptions {
  readonly account?: string;
  readonly browser: boolean;
  readonly json?: true;
}

/** ms; enough for a person to read, and to find a password. */
const PATIENCE = 600_000;

export function addLoginCommand(program: Command, io: Io): void {
  program
    .command("login")
    .argument(
      "[url]",
      "the platform, like https://countersign.example (default: $CLOUDFLARE_API_BASE_URL, else the one on this machine)",
    )
    .option("--account <name>", "the account to act in, by name or id, if there are several")
    .option("--no-browser", "print the address to open, and open nothing")
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Opens the platform's own sign-in page in a browser. What it gives is kept for this user alone, renews itself
for 30 days, and is used by every command that names no other platform.

Examples:
  $ countersign login https://countersign.example
  $ countersign certificate rotate my-cert --cert cert.pem --key key.pem
  $ countersign logout`,
    )
    .action((url: string | undefined, options: LoginOptions) => login(io, url, options));
}

export function addLogoutCommand(program: Command, io: Io): void {
  program
    .command("logout")
    .option("--json", "one JSON object")
    .action(async (options: { json?: true }) => {
      const kept = readLogin(io);
      if (kept) {
        const { revokeLogin } = await import("../client/oauth.ts");
        // Signing out here works even if the platform is gone.
        await revokeLogin(kept).catch((error: Error) =>
          writeLine(io.stderr, `the platform was not told: ${error.message}`),
        );
      }
      removeLogin(io);
      if (options.json) return writeJson(io.stdout, { signed_out: kept !== null });
      writeLine(io.stdout, kept ? `signed out of ${kept.api}` : "nobody was signed in");
    });
}

export function addWhoamiCommand(program: Command, io: Io): void {
  program
    .command("whoami")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (options: { data?: string; json?: true }) => {
      const client = await apiClient(io, options);
      const { result: user } = await client.callAbove<{ email: string }>("GET", "/user");
      const { result: accounts } = await client.callAbove<readonly Account[]>("GET", "/accounts");
      const { api, from, accountId } = client;
      if (options.json) {
        return writeJson(io.stdout, {
          email: user.email,
          api,
          from,
          account_id: accountId,
          accounts,
        });
      }
      writeLine(io.stdout, `${user.email} at ${api} (from ${from})`);
      for (const { id, name } of accounts) {
        writeLine(io.stdout, `  ${id === accountId ? "▶" : " "} ${name}  ${id}`);
      }
    });
}

async function login(io: Io, url: string | undefined, options: LoginOptions): Promise<void> {
  const api = await apiOf(io, url);
  const { loginRequest, redeem } = await import("../client/oauth.ts");
  await assertPlatform(api);
  const listener = await listen();
  try {
    const request = loginRequest(api, (listener.server.address() as AddressInfo).port);
    writeLine(io.stderr, `Sign in here: ${request.url}`);
    if (options.browser) openBrowser(request.url);
    const tokens = await redeem(api, await listener.code(request), request);
    const account = accountIn(await accountsOf(api, tokens.accessToken), options.account);
    writeLogin(io, { ...tokens, accountId: account.id });
    if (options.json) return writeJson(io.stdout, { api, account_id: account.id });
    const done = colorsFor(io, io.stdout).green("✔");
    writeLine(
      io.stdout,
      `${done} signed in to ${account.name} at ${api}, kept in ${loginFile(io)}`,
    );
  } finally {
    listener.server.close();
    listener.server.closeAllConnections();
  }
}

async function apiOf(io: Io, url: string | undefined): Promise<string> {
  const given = url ?? io.env["CLOUDFLARE_API_BASE_URL"];
  if (!given) return (await platformClient(dataFolderOf(io, undefined)).info()).api;
  const parsed = URL.parse(given);
  if (!parsed || !/^https?:$/.test(parsed.protocol)) {
    throw new Failure("usage", {
      message: `"${given}" is not the address of a platform, like https://countersign.example`,
    });
  }
  return `${parsed.origin}/client/v4`;
}

function accountIn(accounts: readonly Account[], named: string | undefined): Account {
  const found =
    named === undefined
      ? accounts[0]
      : accounts.find(({ id, name }) => id === named || name === named);
  if (found) return found;
  const names = accounts.map(({ name }) => name).join(", ") || "none";
  throw new Failure("account_not_found", {
    message: `you are in no account "${named ?? ""}"`,
    fix: `There are: ${names}.`,
  });
}

interface CodeListener {
  readonly server: Server;
  /** @throws Failure `login_failed` */
  code(request: LoginRequest): Promise<string>;
}

/** Listens on loopback for the browser's one answer. Any page can send a browser here: what is not the answer is passed over. */
async function listen(): Promise<CodeListener> {
  const answered = Promise.withResolvers<URLSearchParams>();
  let state: string | null = null;
  const server = createServer((incoming, outgoing) => {
    const url = URL.parse(incoming.url ?? "/", "http://127.0.0.1");
    const isHere = url?.pathname === "/oauth/callback";
    const isAnswer = isHere && state !== null && url.searchParams.get("state") === state;
    outgoing.writeHead(isAnswer ? 200 : isHere ? 400 : 404, {
      "content-type": "text/plain; charset=utf-8",
    });
    outgoing.end(
      isAnswer
        ? "Done. Go on in the terminal.\n"
        : isHere
          ? "This is not the answer to the sign-in that waits.\n"
          : "Not here.\n",
    );
    if (isAnswer) answered.resolve(url.searchParams);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    server,
    code: async (request) => {
      ({ state } = request);
      const timer = setTimeout(() => answered.reject(failed("nobody signed in")), PATIENCE);
      const answer = await answered.promise.finally(() => clearTimeout(timer));
      const code = answer.get("code");
      if (code === null) {
        throw failed(answer.get("error_description") ?? answer.get("error") ?? "no code came");
      }
      return code;
    },
  };
}

function failed(message: string): Failure {
  return new Failure("login_failed", { message });
}

function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["rundll32", "url.dll,FileProtocolHandler", url]
        : ["xdg-open", url];
  // Without a browser, the printed address can still be opened.
  spawn(command, args, { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
}
