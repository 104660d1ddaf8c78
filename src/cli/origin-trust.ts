import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import {
  follow,
  followFiles,
  parseAuthorities,
  parsePolicy,
  Trust,
  type Policy,
} from "countersign-origin/sidecar";
import { Failure } from "../failures/failures.ts";
import type { Io } from "../terminal/io.ts";
import { malformed } from "./origin-options.ts";

/** Where an origin's trust comes from: files, or a platform. */
export interface TrustFlags {
  readonly trust: string;
  readonly policy: string;
  readonly api?: string;
  readonly account?: string;
  readonly cache?: string;
}

/** Follows files as long as the stack is open. @throws Failure if they cannot be used at the start */
export type Follow = (names: readonly string[], take: (texts: string[]) => void) => Promise<void>;

export interface TrustContext {
  readonly io: Io;
  readonly stack: AsyncDisposableStack;
  readonly log: (message: string) => void;
}

export function fileFollower({ io, stack, log }: TrustContext): Follow {
  return async (names, take) => {
    const files = names.map((name) => resolve(io.cwd, name));
    const stop = await followFiles({ files, take, log }).catch((error: unknown) => {
      throw fileFailure(names, error);
    });
    stack.defer(stop);
  };
}

/** How long a start waits for the platform's first answer, ms. Until that answer, nobody is let in. */
const FIRST_WORD = 5_000;

export interface Sources extends TrustContext {
  readonly flags: TrustFlags;
  readonly followed: Follow;
}

/** Opens trust from files alone, or from a platform that is followed. */
export async function openTrust(sources: Sources): Promise<Trust> {
  const { io, flags, stack, log, followed } = sources;
  const { account, cache } = flags;
  const isUrl = isPlatform(flags.trust);
  const api = platformOf(flags);
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

function isPlatform(trust: string): boolean {
  return /^https?:\/\//.test(trust);
}

/** The API to follow. Undefined: only files are used. */
export function platformOf({ trust, api }: TrustFlags): string | undefined {
  return (isPlatform(trust) ? trust : api)?.replace(/\/+$/, "");
}

function followPolicy({ flags, followed }: Sources, trust: Trust): Promise<void> {
  return followed([flags.policy], ([text]) =>
    trust.replace({ policy: ofAccount(parsePolicy(text), flags.account) }),
  );
}

/** A Worker's name without an account means a Worker of this account. */
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

/** The first CAs, from the platform: believed over TLS, or from this machine. */
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

export function fileFailure(names: readonly string[], cause: unknown): Failure {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Failure("sidecar_file_unusable", { message: `${names.join(", ")}: ${reason}`, cause });
}
