import { request } from "node:http";
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  Failure,
  type FailureCode,
  type FailureDetails,
  failures,
} from "../../failures/failures.ts";
import { connectInside } from "../../process/folder-socket.ts";
import type { PlatformInfo, PlatformStatus } from "../../platform/admin.ts";
import type { FollowedFolder } from "../../platform/host-folders.ts";
import type { ShownHostCertificate } from "./shown-host-certificate.ts";
import type { WatchedFolder } from "../../platform/watched-folders.ts";
import type { KeysStatus } from "../../platform/master-key-change.ts";
import type { LocalBinding, WantedCertificate } from "../../platform/local-binding.ts";

/** Sends a request to the platform about tokens, people, accounts or the audit log. */
export type Ask = <T>(
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
) => Promise<T>;

/** The running platform of a data folder, reached over the socket that only its owner can open. */
export interface PlatformClient {
  info(): Promise<PlatformInfo>;
  status(): Promise<PlatformStatus>;
  /** Makes a token for the first account, with every scope. `seconds`: 60 to 315,360,000. */
  createToken(name: string, seconds: number): Promise<string>;
  /** Makes the platform present a certificate at a socket. Null: it has no such certificate. */
  openBinding(wanted: WantedCertificate): Promise<LocalBinding | null>;
  keys(): Promise<KeysStatus>;
  /** @param key base64 or hex; undefined: a random one. @throws Failure `master_key_…` */
  changeMasterKey(key?: string): Promise<KeysStatus>;
  abandonDamaged(): Promise<KeysStatus>;
  /** PEM of the CA for this machine's own names. */
  localAuthority(): Promise<string>;
  /** @throws Failure `folder_unreadable`, `certificate_not_found`, `certificate_kind_differs` */
  watchFolder(watched: WatchedFolder): Promise<void>;
  /** @throws Failure `folder_unreadable`, `host_certificate_unfit`, and as for any upload */
  followForHost(followed: FollowedFolder): Promise<ShownHostCertificate>;
  /** @returns false if no folder was followed for the certificate */
  unwatchFolder(certificateId: string): Promise<boolean>;
  /** Sends any other request to the admin socket: see `platform/access/`. */
  readonly ask: Ask;
}

/** Is there no platform that answers? */
export function isUnreachable(error: unknown): boolean {
  const code = error instanceof Failure ? error.code : null;
  return code === "platform_not_running" || code === "platform_not_answering";
}

/**
 * @throws Failure `platform_not_running`, `platform_not_answering`, from each call, and every failure that the platform
 * answers with
 */
export function platformClient(dataFolder: string): PlatformClient {
  return {
    info: () => call(dataFolder, "GET", "/"),
    status: () => call(dataFolder, "GET", "/status"),
    createToken: async (name, seconds) =>
      (await call<{ token: string }>(dataFolder, "POST", "/tokens", { name, seconds })).token,
    openBinding: async (wanted) => {
      const opened = await call<LocalBinding | null>(dataFolder, "POST", "/bindings", wanted, SOON);
      if (opened === null) return null;
      const { notBefore, notAfter } = opened.facts;
      const dates = { notBefore: new Date(notBefore), notAfter: new Date(notAfter) };
      return { ...opened, facts: { ...opened.facts, ...dates } };
    },
    localAuthority: async () =>
      (await call<{ certificate: string }>(dataFolder, "GET", "/local-authority")).certificate,
    keys: () => call(dataFolder, "GET", "/keys"),
    changeMasterKey: (key) => call(dataFolder, "POST", "/keys/change", { key }),
    abandonDamaged: () => call(dataFolder, "POST", "/keys/abandon-damaged"),
    watchFolder: async ({ certificateId, ...watched }) => {
      await call(dataFolder, "PUT", `/folders/${certificateId}`, watched);
    },
    followForHost: ({ host, ...followed }) =>
      call(dataFolder, "PUT", `/host-folders/${encodeURIComponent(host)}`, followed),
    unwatchFolder: async (certificateId) =>
      (await call<{ watched: boolean }>(dataFolder, "DELETE", `/folders/${certificateId}`)).watched,
    ask: (method, path, body) => call(dataFolder, method, path, body),
  };
}

async function call<T>(
  dataFolder: string,
  method: string,
  path: string,
  body?: unknown,
  timeout?: number,
): Promise<T> {
  const headers = { "content-type": "application/json" };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const { status, text } = await sendInside(dataFolder, method, path, headers, sent, timeout);
  if (status !== 200) {
    const refused = refusal(text);
    if (refused) throw refused;
    throw new Failure("internal", {
      message: `the platform answered ${status} to ${path}: ${text}`,
    });
  }
  return JSON.parse(text) as T;
}

/**
 * Sends one request over the socket in the data folder: to the socket's own paths or to the v4 API.
 * @param timeout ms without an answer, or without more of it. Default: 60,000
 * @throws Failure `platform_not_running`, `platform_not_answering`
 */
export async function sendInside(
  dataFolder: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | Buffer | undefined,
  timeout = 60_000,
): Promise<{ readonly status: number; readonly text: string }> {
  if (!existsSync(join(dataFolder, "admin.sock"))) throw notRunning(dataFolder);
  return new Promise((resolve, reject) => {
    const outgoing = request({
      method,
      path,
      headers,
      timeout,
      createConnection: () => connectInside(dataFolder, "admin.sock"),
    });
    outgoing.on("error", (cause) => reject(notRunning(dataFolder, cause)));
    outgoing.on("timeout", () => {
      reject(notAnswering(dataFolder, timeout));
      outgoing.destroy();
    });
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    outgoing.end(body);
  });
}

function refusal(text: string): Failure | null {
  try {
    const { error } = JSON.parse(text) as { error: FailureDetails & { code: string } };
    return isFailureCode(error.code) ? new Failure(error.code, error) : null;
  } catch {
    return null;
  }
}

function isFailureCode(code: string): code is FailureCode {
  return Object.hasOwn(failures, code);
}

/** ms, for a command that has to go on. The platform itself waits for a gateway that is started again. */
const SOON = 20_000;

function notAnswering(dataFolder: string, timeout: number): Failure {
  return new Failure("platform_not_answering", {
    message: `the platform of the data folder "${dataFolder}" did not answer within ${timeout / 1000} s`,
    facts: { dataFolder, timeout },
  });
}

function notRunning(dataFolder: string, cause?: NodeJS.ErrnoException): Failure {
  return new Failure("platform_not_running", {
    message: `no platform answers for the data folder "${dataFolder}"`,
    facts: { dataFolder },
    ...(cause && { cause }),
    ...(cause?.code === "EACCES" && {
      fix: "The folder is another user's: run the command as the user that runs the platform (sudo -u).",
    }),
  });
}
