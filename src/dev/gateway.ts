import { randomBytes } from "node:crypto";
import { Keyring } from "../keys/seal.ts";
import type { Failure } from "../failures/failures.ts";
import { Gateway } from "../gateway/gateway.ts";
import type { GatewayBinding } from "../contract/gateway.ts";
import { defaultOptions, type AddressOptions } from "../contract/gateway-options.ts";

export interface DevGateway extends AsyncDisposable {
  readonly gateway: Gateway;
  /** Valid for this run only: a certificate is sealed here and unsealed a moment later. */
  readonly keyring: Keyring;
}

/** @param origin `https://api.example.com`. Null: the URL has no readable origin */
export type OnFailure = (failure: Failure, binding: GatewayBinding, origin: string | null) => void;

/** In development, bindings may also reach this machine. */
export function developmentAddresses(hosts: Readonly<Record<string, string>>): AddressOptions {
  return { allow: [], deny: [], development: true, denyLocalPorts: [], hosts };
}

/**
 * Runs the same gateway as in production, in this process. No Worker code runs here: workerd is a separate process, and
 * reaches the gateway over the binding's socket, as in production.
 */
export function startDevGateway(onFailure: OnFailure): DevGateway {
  const keyring = new Keyring(randomBytes(32));
  const gateway = new Gateway({
    keyring,
    options: {
      ...defaultOptions,
      addresses: developmentAddresses({}),
      timeouts: { ...defaultOptions.timeouts, drain: 1000 },
    },
    observer: {
      traffic: (binding) => ({
        details: "public",
        answered: () => {},
        failed: (failure, origin) => onFailure(failure, binding, origin),
      }),
      connected: () => {},
      handshakeFailed: () => {},
      connections: (binding, certificateId) => ({
        details: "public",
        connected: () => {},
        failed: (failure, origin) =>
          onFailure(failure, { ...binding, certificateId: certificateId ?? "" }, origin),
      }),
    },
  });
  return {
    gateway,
    keyring,
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}
