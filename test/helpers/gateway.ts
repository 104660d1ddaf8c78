import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import {
  request as httpRequest,
  type Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { CertificateVersion } from "../../src/contract/change-feed.ts";
import type { GatewayBinding, GatewayHandle } from "../../src/contract/gateway.ts";
import type { GatewayEvent } from "../../src/contract/gateway-event.ts";
import { startGateway } from "../../src/gateway/start.ts";
import type { StartGatewayOptions } from "../../src/gateway/start-options.ts";
import { gatewayModule } from "./program.ts";
import { sealedCertificate } from "./sealed-certificate.ts";
import type { TestCertificate } from "./pki.ts";

export const masterKey: Buffer = randomBytes(32);

export interface TestGateway {
  readonly handle: GatewayHandle;
  readonly directory: string;
  readonly events: GatewayEvent[];
  /** The absolute path of a binding's socket. */
  socket(binding?: Partial<GatewayBinding>): string;
  /** Opens a binding. Defaults: account `a`, Worker `worker`, binding `CERT`, certificate `c`. */
  bind(binding?: Partial<GatewayBinding>): Promise<GatewayBinding>;
}

/** A real gateway process in a temporary folder. Loopback is allowed, as in development. */
export async function testGateway(
  t: Pick<TestContext, "after">,
  options: Partial<StartGatewayOptions> = {},
): Promise<TestGateway> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-gateway-"));
  const events: GatewayEvent[] = [];
  const handle = await startGateway({
    runDirectory: directory,
    masterKey,
    logLevel: "silent",
    modulePath: gatewayModule,
    onEvent: (event) => events.push(event),
    ...options,
    addresses: { development: true, ...options.addresses },
  });
  t.after(async () => {
    await handle[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });
  return {
    handle,
    directory,
    events,
    socket: (binding) => join(directory, complete(binding).socketPath),
    bind: async (binding) => {
      const whole = complete(binding);
      await handle.openBinding(whole);
      return whole;
    },
  };
}

function complete(binding: Partial<GatewayBinding> = {}): GatewayBinding {
  return {
    socketPath: `${binding.bindingName ?? "CERT"}.sock`,
    accountId: "a",
    scriptName: "worker",
    bindingName: "CERT",
    certificateId: "c",
    ...binding,
  };
}

/** Defaults: account `a`, certificate `c`. */
export function edgeCertificate(
  certificate: TestCertificate,
  overrides: Partial<CertificateVersion> = {},
): CertificateVersion {
  const base = { accountId: "a", certificateId: "c", sealedId: "c/1", masterKey };
  return { ...sealedCertificate(certificate, { ...base, ...overrides }), ...overrides };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  json(): any;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Default: a connection for this request only. */
  readonly agent?: Agent;
}

/** Sends a request as workerd does: the whole URL in the request line, no Host. */
export async function ask(
  socketPath: string,
  url: string,
  options: AskOptions = {},
): Promise<Answer> {
  const request = httpRequest({
    socketPath,
    path: url,
    method: options.method ?? "GET",
    headers: options.headers ?? {},
    setHost: false,
    agent: options.agent ?? false,
  });
  request.end(options.body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.setEncoding("utf8");
  const text = (await response.toArray()).join("");
  return {
    status: response.statusCode!,
    headers: response.headers,
    text,
    json: () => JSON.parse(text),
  };
}
