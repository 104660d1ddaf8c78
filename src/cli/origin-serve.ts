import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { setTimeout as wait } from "node:timers/promises";
import {
  follow,
  followFiles,
  parseAuthorities,
  parsePolicy,
  startSidecar,
  Trust,
  type Destination,
  type KeyPair,
  type Policy,
  type Sidecar,
} from "countersign-origin/sidecar";
import { untilStopped } from "../dev/stop.ts";
import { Failure } from "../failures/failures.ts";
import { listenFailure } from "../network/listen-failure.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../terminal/io.ts";

export interface ServeFlags {
  readonly listen: string;
  readonly cert: string;
  readonly key: string;
  readonly trust: string;
  readonly policy: string;
  readonly to: string;
  readonly api?: string;
  readonly account?: string;
  readonly cache?: string;
  readonly json?: true;
}

/** How long a start waits for the platform's first word; without it, nobody is let in yet. */
const FIRST_WORD = 5_000;

/** Runs the sidecar until a signal comes. @throws Failure if it cannot start */
export async function serveOrigin(io: Io, flags: ServeFlags): Promise<void> {
  const listen = readListen(flags.listen);
  const to = readDestination(flags.to);
  const log = (message: string): void => writeLine(io.stderr, message);
  await using stack = new AsyncDisposableStack();
  const followed = async (names: readonly string[], take: (texts: string[]) => void) => {
    const files = names.map((name) => resolve(io.cwd, name));
    const stop = await followFiles({ files, take, log }).catch((error: unknown) => {
      throw fileFailure(names, error);
    });
    stack.defer(stop);
  };
  const trust = await openTrust({ io, flags, stack, log, followed });
  let sidecar: Sidecar | undefined;
  let pair: KeyPair | undefined;
  await followed([flags.cert, flags.key], ([cert, key]) => {
    const read: KeyPair = { cert: cert!, key: key! };
    createSecureContext({ ...read });
    sidecar?.renew(read);
    pair = read;
  });
  sidecar = stack.use(
    await startSidecar({ listen, to, trust, pair: pair!, log }).catch((error: unknown) => {
      throw listenFailure("the sidecar", listen, error as NodeJS.ErrnoException);
    }),
  );
  if (flags.json) writeJson(io.stdout, { ready: true, url: sidecar.url });
  else {
    const colors = colorsFor(io, io.stdout);
    writeLine(io.stdout, `${colors.green("✔")} ${colors.bold(sidecar.url)} before ${flags.to}`);
  }
  await untilStopped();
}

interface Sources {
  readonly io: Io;
  readonly flags: ServeFlags;
  readonly stack: AsyncDisposableStack;
  readonly log: (message: string) => void;
  readonly followed: (names: readonly string[], take: (texts: string[]) => void) => Promise<void>;
}

/** What the sidecar goes by: files alone, or a platform that is followed. */
async function openTrust(sources: Sources): Promise<Trust> {
  const { io, flags, stack, log, followed } = sources;
  const { account, cache } = flags;
  const isUrl = /^https?:\/\//.test(flags.trust);
  const api = (isUrl ? flags.trust : flags.api)?.replace(/\/+$/, "");
  if (api === undefined) {
    if (cache !== undefined) throw malformed("--cache is for following a platform: give --api");
    const trust = new Trust();
    await followed([flags.trust], ([pem]) =>
      trust.replace({ authorities: parseAuthorities(pem!) }),
    );
    await followPolicy(sources, trust);
    return trust;
  }
  if (account === undefined) throw malformed("a platform is followed for an account: --account");
  if (!/^https?:$/.test(URL.parse(api)?.protocol ?? "")) {
    throw malformed(`--api "${api}" is not an http:// or https:// URL`);
  }
  const isFile = /[/.]/.test(flags.policy) || existsSync(resolve(io.cwd, flags.policy));
  const source = stack.use(
    follow({
      api,
      account,
      authorities: isUrl ? await fetchBundle(api, account) : await readBundle(io, flags.trust),
      log,
      ...(!isFile && { policy: flags.policy }),
      ...(cache !== undefined && { cache: resolve(io.cwd, cache) }),
    }),
  );
  if (isFile) await followPolicy(sources, source.trust);
  await Promise.race([source.ready, wait(FIRST_WORD, undefined, { ref: false })]);
  return source.trust;
}

function followPolicy({ flags, followed }: Sources, trust: Trust): Promise<void> {
  return followed([flags.policy], ([text]) =>
    trust.replace({ policy: ofAccount(parsePolicy(text), flags.account) }),
  );
}

/** A Worker's name alone means the one of this account. */
function ofAccount(policy: Policy, account: string | undefined): Policy {
  if (account === undefined) return policy;
  return {
    allow: policy.allow.map((rule) =>
      rule.worker === undefined || rule.account !== undefined
        ? rule
        : { ...rule, account: [account] },
    ),
  };
}

async function readBundle(io: Io, file: string): Promise<string> {
  try {
    return parseAuthorities(await readFile(resolve(io.cwd, file), "utf8")).join("\n");
  } catch (error) {
    throw fileFailure([file], error);
  }
}

/** The first CAs, as the platform says them: believed over TLS, and from this machine. */
async function fetchBundle(api: string, account: string): Promise<string> {
  const { protocol, hostname } = new URL(api);
  if (protocol !== "https:" && !/^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) {
    throw malformed(`--trust "${api}" is plain HTTP: give the CAs as a file, and --api ${api}`);
  }
  const url = `${api}/accounts/${encodeURIComponent(account)}/countersign/identity/bundle.pem`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(FIRST_WORD) });
    if (!answer.ok) throw new TypeError(`the platform answers ${answer.status}`);
    return parseAuthorities(await answer.text()).join("\n");
  } catch (error) {
    throw fileFailure([url], error);
  }
}

/** `127.0.0.1:8443`, `[::1]:0` */
function readListen(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw malformed(`--listen "${text}" is not host:port, as 127.0.0.1:8443`);
  }
  return { host, port };
}

function readDestination(text: string): Destination {
  const url = URL.parse(text);
  const protocol = url?.protocol;
  if (url === null || (protocol !== "http:" && protocol !== "tcp:") || url.hostname === "") {
    throw malformed(`--to "${text}" is not http://host:port or tcp://host:port`);
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== "" || url.username !== "") {
    throw malformed(
      `--to "${text}" has more than a host and a port; paths are passed on as they are`,
    );
  }
  if (protocol === "tcp:" && url.port === "") throw malformed(`--to "${text}" has no port`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return { protocol: protocol === "tcp:" ? "tcp" : "http", host, port: Number(url.port || 80) };
}

function malformed(message: string): Failure {
  return new Failure("sidecar_option_malformed", { message });
}

function fileFailure(names: readonly string[], cause: unknown): Failure {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Failure("sidecar_file_unusable", { message: `${names.join(", ")}: ${reason}`, cause });
}
