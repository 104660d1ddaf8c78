import { handshake } from "./certificates.ts";
import { z } from "@hono/zod-openapi";
import { count, crud, flag, type Results, text, time } from "./common.ts";

const config = z
  .object({
    id: text,
    name: text,
    origin: z.object({ scheme: text, host: text, port: count, database: text, user: text }),
    caching: z.object({ disabled: flag }),
    mtls: z.object({
      ca_certificate_id: text.optional(),
      mtls_certificate_id: text.optional(),
      sslmode: text,
    }),
    origin_connection_limit: count,
    created_on: time,
    modified_on: time,
  })
  .openapi("HyperdriveConfig");

const configs = "/accounts/{account_id}/hyperdrive/configs";

const own = "/accounts/{account_id}/countersign/hyperdrive";

/** Databases, and how they are reached. */
export const databaseResults: Results = {
  ...crud(configs, config, "GET* POST* GET PUT PATCH", "hyperdrive_id"),
  [`POST ${own}/{hyperdrive_id}/test`]: handshake,
  [`DELETE ${configs}/{hyperdrive_id}`]: z.null(),
};
