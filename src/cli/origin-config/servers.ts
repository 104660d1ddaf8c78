import { caddy } from "./caddy.ts";
import { envoy } from "./envoy.ts";
import { haproxy } from "./haproxy.ts";
import { nginx } from "./nginx.ts";
import type { OriginServer } from "./server.ts";
import { traefik } from "./traefik.ts";

export const servers: Readonly<Record<string, OriginServer>> = {
  nginx,
  envoy,
  caddy,
  haproxy,
  traefik,
};
