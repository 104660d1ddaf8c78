import { type ServerType, serve } from "@hono/node-server";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { assertDescribed } from "./described.ts";
import { Keyring } from "../../src/keys/seal.ts";
import { AddressPolicy } from "../../src/network/addresses.ts";
import { Outbound } from "../../src/network/outbound.ts";
import { createControl } from "../../src/control/app.ts";
import { latestCompatibilityDate } from "../../src/control/workers/compatibility.ts";
import type { ControlLimits } from "../../src/control/api/context.ts";
import { allScopes } from "../../src/control/api/scopes.ts";
import type { Edge } from "../../src/contract/edge.ts";
import type { WorkerVersion } from "../../src/contract/change-feed.ts";
import { Failure } from "../../src/failures/failures.ts";
import { bootstrap } from "../../src/store/bootstrap.ts";
import { openStore, type Store } from "../../src/store/store.ts";

/** A control plane on a free port, over a real store in a temporary folder. */
export interface TestControl extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/client/v4` */
  readonly api: string;
  readonly accountId: string;
  readonly token: string;
  readonly store: Store;
  readonly keyring: Keyring;
  /** May reach loopback. */
  readonly outbound: Outbound;
  readonly edge: RecordingEdge;
  readonly databasePath: string;
  /** Lines of JSON. */
  readonly log: string[];
  /** Sends a request to the API with the first token; returns the parsed envelope. */
  call(method: string, path: string, body?: unknown): Promise<Envelope>;
}

export interface Envelope {
  readonly status: number;
  readonly success: boolean;
  readonly errors: readonly { code: number; message: string; meta?: Record<string, unknown> }[];
  readonly messages: readonly { message: string }[];
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly result: any;
}

/** An edge that starts nothing and records its calls. */
export class RecordingEdge implements Pick<
  Edge,
  "stage" | "discard" | "applied" | "testHandshake" | "testDatabase"
> {
  readonly staged: WorkerVersion[] = [];
  readonly discarded: string[] = [];
  readonly applications: number[] = [];
  readonly #interludes = new Map<string, () => Promise<unknown>>();

  /** The next `stage` of a version of the script throws. */
  refuseNext(scriptName: string, error: Error): void {
    this.duringNext(scriptName, () => Promise.reject(error));
  }

  /** Runs `interlude` while the next version of the script starts. */
  duringNext(scriptName: string, interlude: () => Promise<unknown>): void {
    this.#interludes.set(scriptName, interlude);
  }

  async stage(version: WorkerVersion): Promise<void> {
    const interlude = this.#interludes.get(version.scriptName);
    this.#interludes.delete(version.scriptName);
    await interlude?.();
    this.staged.push(version);
  }

  testHandshake(): never {
    throw new Failure("gateway_unavailable");
  }

  testDatabase(): never {
    throw new Failure("gateway_unavailable");
  }

  async discard(versionId: string): Promise<void> {
    this.discarded.push(versionId);
  }

  async applied(cursor: number): Promise<void> {
    this.applications.push(cursor);
  }
}

export interface TestControlOptions {
  /** Default: SQLite in a temporary folder. */
  readonly open?: () => Promise<Store>;
  readonly limits?: Partial<ControlLimits>;
  readonly clock?: () => Date;
  /** It fetches nothing from public addresses. Default: it may. */
  readonly offline?: boolean;
}

/** The state that an earlier control plane left. */
export interface TestControlState {
  readonly folder: string;
  readonly masterKey: Uint8Array;
  readonly accountId: string;
  readonly token: string;
}

export async function startControl(options: TestControlOptions = {}): Promise<TestControl> {
  const state = await newState();
  const control = options.open
    ? await controlOver(await options.open(), state, options)
    : await continueControl(state, options);
  return {
    ...control,
    [Symbol.asyncDispose]: async () => {
      await control[Symbol.asyncDispose]();
      await rm(state.folder, { recursive: true, force: true });
    },
  };
}

/** A temporary folder with a store that contains the first account. */
export async function newState(): Promise<TestControlState> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-control-"));
  const masterKey = randomBytes(32);
  await using store = await openStore(databaseIn(folder));
  store.sealWith(new Keyring(masterKey));
  const first = await bootstrap(store, { scopes: allScopes, now: new Date() });
  if (!first) throw new Error("the folder was not new");
  return { folder, masterKey, ...first };
}

/** The folder stays when this ends. */
export async function continueControl(
  state: TestControlState,
  options: TestControlOptions = {},
): Promise<TestControl> {
  const store = await openStore(databaseIn(state.folder));
  store.sealWith(new Keyring(state.masterKey));
  return controlOver(store, state, options);
}

async function controlOver(
  store: Store,
  state: TestControlState,
  options: TestControlOptions,
): Promise<TestControl> {
  const first = await bootstrap(store, { scopes: allScopes, now: new Date() });
  const { accountId, token } = first ?? state;
  const keyring = new Keyring(state.masterKey);
  const edge = new RecordingEdge();
  const log: string[] = [];
  const outbound = new Outbound({
    policy: new AddressPolicy({
      allow: [],
      deny: options.offline === true ? ["0.0.0.0/0", "::/0"] : [],
      development: true,
      denyLocalPorts: [],
    }),
  });
  const control = createControl({
    store,
    keyring,
    outbound,
    edge,
    clock: options.clock ?? (() => new Date()),
    log: pino({}, { write: (line: string) => log.push(line) }),
    latestCompatibilityDate: latestCompatibilityDate(),
    ...(options.limits && { limits: options.limits }),
  });
  const server = await listen(control.fetch);
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}/client/v4`;
  return {
    accountId,
    token,
    api,
    store,
    keyring,
    outbound,
    edge,
    databasePath: databaseIn(state.folder),
    log,
    call: (method, path, body) => callApi({ accountId, token, api }, method, path, body),
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      });
      await outbound[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** `{account}` in the path is replaced by the account's id. */
export async function callApi(
  target: Pick<TestControl, "api" | "accountId" | "token">,
  method: string,
  path: string,
  body?: unknown,
): Promise<Envelope> {
  const response = await fetch(target.api + path.replace("{account}", target.accountId), {
    method,
    headers: { authorization: `Bearer ${target.token}` },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });
  const envelope = (await response.json()) as Omit<Envelope, "status">;
  if (envelope.success) assertDescribed(method, new URL(response.url).pathname, envelope.result);
  return { status: response.status, ...envelope };
}

function databaseIn(folder: string): string {
  return join(folder, "countersign.db");
}

function listen(fetch: (request: Request) => Response | Promise<Response>): Promise<ServerType> {
  return new Promise((resolve) => {
    const server: ServerType = serve({ fetch, port: 0, hostname: "127.0.0.1" }, () =>
      resolve(server),
    );
  });
}
