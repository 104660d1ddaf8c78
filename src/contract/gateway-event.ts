import type { Failure } from "../failures/failures.ts";

/** What last happened to a certificate at an origin: shown beside the certificate. */
export type GatewayEvent = {
  readonly accountId: string;
  readonly certificateId: string;
  /** `https://api.example.com`. Null: the URL has none that could be read. */
  readonly origin: string | null;
  /** ISO 8601. */
  readonly at: string;
} & (
  | {
      readonly kind: "handshake";
      readonly version: number;
      readonly tlsVersion: string | null;
      readonly asked: boolean;
    }
  | {
      readonly kind: "failure";
      readonly code: Failure["code"];
      readonly message: string;
      readonly scriptName: string;
      readonly bindingName: string;
      /** Null: the connection failed during the response. */
      readonly ray: string | null;
    }
);
