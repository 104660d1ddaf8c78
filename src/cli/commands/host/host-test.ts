import type { Command } from "commander";
import { request } from "node:https";
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from "node:tls";
import { describeExpiry } from "../../../certificates/expiry.ts";
import { Failure } from "../../../failures/failures.ts";
import { colorsFor, withProgress, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { fileOptions, readFiles, type FileOptions } from "../../certificate-files.ts";
import { apiClient } from "../../client/api-client.ts";
import { authorityNames } from "../../client/certificate-api.ts";
import { findHost } from "../../client/host-api.ts";
import { platformClient } from "../../client/platform-client.ts";
import { dataFolderOf, dataOption } from "../../data-option.ts";
import { Exit, exitStatus } from "../../report.ts";
import { printHost } from "./host-show.ts";

interface Options extends FileOptions {
  readonly data?: string;
  readonly json?: true;
  readonly to?: string;
}

/** What a test client found. */
interface Found {
  readonly address: string;
  readonly tls: { readonly version: string; readonly cipher: string };
  readonly presented: {
    readonly subject: string;
    readonly names: string;
    readonly expiresOn: string;
    /** Whether it is for this host, and valid now. */
    readonly isFit: boolean;
  };
  /** The host's answer to the given certificate, or to none. */
  readonly answer: { readonly passes: boolean; readonly code: string | null };
}

export function addHostTest(group: Command, io: Io): void {
  const command = group
    .command("test")
    .description(
      "connect to a host of this platform as a client, and print what it presents and asks for",
    )
    .argument("<host>", "`api.example.com`");
  for (const option of fileOptions) command.option(...option);
  command
    .option("--to <address>", "where it listens, HOST:PORT (default: the platform's --https-port)")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
No Worker is called. With a certificate it says whether the host would let its owner in, and if not, why.
Exit status: 0 a client gets in, 1 it does not, or the host presents what is not for it.

Examples:
  $ countersign host test api.example.com
  $ countersign host test api.example.com --cert partner.pem --key partner-key.pem`,
    )
    .action(async (name: string, options: Options) => {
      const api = await apiClient(io, options);
      const host = await findHost(api, name);
      const given =
        options.cert === undefined && options.p12 === undefined
          ? null
          : await readFiles(io, options);
      const to = await addressOf(io, options, host.host);
      const found = await withProgress(io, `Connecting to ${to.host}:${to.port}`, () =>
        asClient(host.host, to, given),
      );
      if (options.json) writeJson(io.stdout, { ...host, ...found });
      else {
        printHost(io, host, await authorityNames(api, host.clients.authorities));
        print(io, found, given !== null);
      }
      if (!found.answer.passes || !found.presented.isFit) throw new Exit(exitStatus.failed);
    });
}

interface Address {
  readonly host: string;
  readonly port: number;
}

async function addressOf(io: Io, options: Options, name: string): Promise<Address> {
  const own = async (): Promise<string | null> =>
    (await platformClient(dataFolderOf(io, options.data)).info()).https;
  const text = options.to ?? (await own().catch(() => `https://${name}`));
  if (text === null) {
    throw new Failure("usage", {
      message: "this platform speaks no TLS",
      fix: "Start it with `countersign start --https-port 4443`.",
    });
  }
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (url === null) throw new Failure("usage", { message: `"${text}" is not HOST:PORT` });
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 443) };
}

/** Sends one request to a path that no Worker answers. */
function asClient(
  name: string,
  { host, port }: Address,
  given: { readonly certificates: string; readonly private_key?: string } | null,
): Promise<Found> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void => {
      const message = `a client does not reach "${name}" at ${host}:${port}: ${cause.message}`;
      reject(new Failure("usage", { message, cause, fix: "Check the address, and --https-port." }));
    };
    let client: ReturnType<typeof request>;
    try {
      client = request({
        host,
        port,
        servername: anyBelow(name),
        path: "/cdn-cgi/access/certs",
        headers: { host: anyBelow(name), accept: "application/json", ...KEYS },
        agent: false,
        timeout: TIMEOUT,
        // The server's certificate is judged below, and no secret is sent, so the connection may go on with any
        // certificate.
        rejectUnauthorized: false,
        ...(given && {
          cert: given.certificates,
          key: given.private_key ?? given.certificates,
        }),
      });
    } catch (error) {
      failed(error as Error);
      return;
    }
    client
      .on("timeout", () => client.destroy(new Error(`no answer after ${TIMEOUT / 1000} s`)))
      .on("error", failed)
      .on("response", (response) => {
        const socket = response.socket as TLSSocket;
        const presented = socket.getPeerCertificate();
        const tls = { version: socket.getProtocol() ?? "", cipher: socket.getCipher().name };
        const parts: Buffer[] = [];
        response
          .on("data", (part: Buffer) => {
            if (parts.length < 64) parts.push(part);
          })
          .on("error", failed)
          .on("end", () => {
            const code = refusalIn(response.statusCode ?? 0, Buffer.concat(parts).toString("utf8"));
            resolve({
              address: `${host}:${port}`,
              tls,
              presented: judged(name, presented),
              answer: { passes: code === null, code },
            });
          });
      })
      .end();
  });
}

/** A host that matches the wildcard. */
function anyBelow(name: string): string {
  return name.replace(/^\*\./, "any.");
}

/** See `KEYS_ONLY` of the ingress: it answers itself, and no Worker is called. */
const KEYS = { "cf-access-keys-only": "1" };
/** ms */
const TIMEOUT = 10_000;

/** Null: the host lets the client in. A host without Access has no keys, and answers 404. */
function refusalIn(status: number, body: string): string | null {
  if (status !== 403 && status !== 421) return null;
  return (
    /"code":\s*"([a-z_0-9]+)"/.exec(body)?.[1] ?? /\(([a-z_]+)\)/.exec(body)?.[1] ?? `${status}`
  );
}

function judged(name: string, certificate: PeerCertificate): Found["presented"] {
  const now = Date.now();
  const isValid =
    Date.parse(certificate.valid_from) <= now && now < Date.parse(certificate.valid_to);
  return {
    subject: certificate.subject?.CN?.toString() ?? "",
    names: certificate.subjectaltname ?? "",
    expiresOn: new Date(certificate.valid_to).toISOString(),
    isFit: isValid && checkServerIdentity(anyBelow(name), certificate) === undefined,
  };
}

function print(io: Io, { address, tls, presented, answer }: Found, isGiven: boolean): void {
  const colors = colorsFor(io, io.stdout);
  const mark = (good: boolean): string => (good ? colors.green("✔") : colors.red("✘"));
  const ends = describeExpiry(new Date(presented.expiresOn), new Date());
  writeLine(io.stdout, `${mark(true)} answers at ${address}, ${tls.version}, ${tls.cipher}`);
  const fit = presented.isFit ? "it is for this host" : "it is not for this host, or not valid now";
  writeLine(
    io.stdout,
    `${mark(presented.isFit)} presents "${presented.subject}" (${presented.names || "no names"}), ${ends}: ${fit}`,
  );
  const who = isGiven ? "this certificate" : "a client without a certificate";
  const said = answer.passes ? "is let in" : `is refused: ${answer.code}`;
  writeLine(io.stdout, `${mark(answer.passes)} ${who} ${said}`);
}
