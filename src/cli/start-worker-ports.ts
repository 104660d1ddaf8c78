import { resolve } from "node:path";
import type { Command } from "commander";
import { Failure } from "../failures/failures.ts";
import type { PlatformOptions } from "../platform/platform-options.ts";
import { port } from "./start-numbers.ts";
import { unbracketed } from "../network/unbracketed.ts";

/** Where Workers are reached without the ingress. */
export interface WorkerPortOptions {
  readonly workerPort?: readonly string[];
  readonly workerSocket?: readonly string[];
}

export function addWorkerPorts(command: Command): Command {
  return command
    .option(
      "--worker-port <[account/]name=[host:]port...>",
      "a port of a Worker's own, without the ingress in front (docs/platform.md says what that gives up)",
    )
    .option(
      "--worker-socket <[account/]name=path...>",
      "the same at a Unix socket, for nginx, HAProxy or Caddy on this machine",
    );
}

/** @throws Failure `usage` */
export function workerPorts(
  { workerPort = [], workerSocket = [] }: WorkerPortOptions,
  cwd: string,
): PlatformOptions["workerPorts"] {
  const ports = workerPort.map((text) => {
    const [worker, address] = parts("--worker-port", text, "[ACCOUNT_ID/]NAME=[HOST:]PORT");
    const colon = address.lastIndexOf(":");
    const host = colon === -1 ? "127.0.0.1" : unbracketed(address.slice(0, colon));
    if (host === "") throw wrong("--worker-port", text, "[ACCOUNT_ID/]NAME=[HOST:]PORT");
    const listen = { host, port: port("--worker-port", address.slice(colon + 1)) };
    return { ...worker, listen };
  });
  const sockets = workerSocket.map((text) => {
    const [worker, path] = parts("--worker-socket", text, "[ACCOUNT_ID/]NAME=PATH");
    const absolute = resolve(cwd, path);
    if (Buffer.byteLength(absolute) > LONGEST_PATH) {
      throw new Failure("usage", {
        message: `--worker-socket "${text}" is longer than the ${LONGEST_PATH} bytes that a Unix socket's path may have`,
      });
    }
    return { ...worker, listen: { path: absolute } };
  });
  return [...ports, ...sockets];
}

/** The limit of `sockaddr_un` that every system allows. */
const LONGEST_PATH = 103;

type Worker = Pick<PlatformOptions["workerPorts"][number], "accountId" | "scriptName">;

/** `shop=…`, or `ACCOUNT_ID/shop=…`. */
function parts(option: string, text: string, form: string): [worker: Worker, address: string] {
  const [, account, scriptName, address] = /^(?:([^/=]+)\/)?([^/=]+)=(.+)$/s.exec(text) ?? [];
  if (scriptName === undefined || address === undefined) throw wrong(option, text, form);
  return [{ accountId: account ?? null, scriptName }, address];
}

function wrong(option: string, text: string, form: string): Failure {
  return new Failure("usage", { message: `${option} "${text}" is not of the form ${form}` });
}
