import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { countersign } from "../../test/helpers/cli.ts";
import type { TestPlatform } from "../../test/helpers/platform.ts";

/** The code of a refusal, or the answer. */
export interface Refused {
  readonly status: number;
  readonly code: string;
  readonly session: Buffer | undefined;
}

export interface DirectCall {
  readonly port: number;
  readonly ca: string;
  readonly pair?: { readonly cert: string; readonly key: string };
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
  readonly session?: Buffer | undefined;
}

/** Sends a request to an origin without a Worker, with whatever an attacker may have. */
export function ask({ port, ca, pair, headers, agent, session }: DirectCall): Promise<Refused> {
  return new Promise((resolve, reject) => {
    // With TLS 1.3 a session can be resumed once its ticket has arrived; before that, `getSession()` returns an
    // unusable session.
    let kept: Buffer | undefined;
    const sent = request(
      {
        host: "127.0.0.1",
        servername: "localhost",
        path: "/orders",
        agent: agent ?? false,
        port,
        ca,
        ...pair,
        ...(session && { session }),
        ...(headers && { headers }),
      },
      (response) => {
        void text(response).then((body) =>
          resolve({
            status: response.statusCode ?? 0,
            code: codeOf(body),
            session: kept,
          }),
        );
      },
    );
    sent.on("socket", (socket) => {
      if (!sent.reusedSocket) socket.on("session", (ticket: Buffer) => (kept = ticket));
    });
    sent.on("error", reject).end();
  });
}

/** The code in a refusal's JSON, or in a Worker's failure. */
export function codeOf(body: string): string {
  return /"code": ?"([a-z_]+)"/.exec(body)?.[1] ?? /\b(identity_[a-z]+)\b/.exec(body)?.[1] ?? body;
}

/** Runs a command against the platform, and returns its output. @throws Error if it fails */
export async function command(
  platform: TestPlatform,
  folder: string,
  ...argv: readonly string[]
): Promise<string> {
  const run = await countersign([...argv, "--data", platform.dataFolder], { cwd: folder });
  if (run.status !== 0)
    throw new Error(`countersign ${argv.join(" ")}: ${run.stderr || run.stdout}`);
  return run.stdout;
}

export interface Person {
  readonly cert: string;
  readonly key: string;
  readonly serial: string;
}

/** Makes a person's key, and has the account's CA issue a certificate for it. */
export async function issuePerson(
  platform: TestPlatform,
  folder: string,
  name: string,
): Promise<Person> {
  const files = ["-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`];
  const kind = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" ");
  execFileSync("openssl", ["req", "-new", ...kind, ...files], { cwd: folder, stdio: "ignore" });
  const printed = await command(
    platform,
    folder,
    "identity",
    "issue",
    "--csr",
    `${name}.csr`,
    "--json",
  );
  const issued = JSON.parse(printed) as { certificate: string; serial_number: string };
  return {
    cert: issued.certificate,
    key: readFileSync(join(folder, `${name}.key`), "utf8"),
    serial: issued.serial_number,
  };
}

/** Sends a request to a Worker of any account, by its host. */
export function askHost(
  platform: TestPlatform,
  host: string,
  path: string,
): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(platform.ready.http);
  return new Promise((resolve, reject) => {
    plainRequest(
      { hostname: hostname.replace(/^\[|\]$/g, ""), port, path, headers: { host }, agent: false },
      (response) =>
        void text(response).then((body) => resolve({ status: response.statusCode ?? 0, body })),
    )
      .on("error", reject)
      .end();
  });
}
