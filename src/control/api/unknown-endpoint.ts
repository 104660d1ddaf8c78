import { Failure } from "../../failures/failures.ts";

const ACCOUNT = String.raw`/accounts/[^/]+`;

/** Features of Cloudflare that wrangler and the SDKs ask for, by their paths, and what to do instead. */
const features: readonly (readonly [path: string, feature: string, instead?: string])[] = [
  [`${ACCOUNT}/pages/`, "Pages", "Deploy a Worker with static assets: docs/assets.md"],
  [`${ACCOUNT}/workers/dispatch/`, "dispatch namespaces (Workers for Platforms)"],
  [`${ACCOUNT}/r2/buckets/[^/]+/lifecycle`, "lifecycle rules of R2"],
  [`${ACCOUNT}/r2/buckets/[^/]+/lock`, "locks of R2"],
  [`${ACCOUNT}/r2/buckets/[^/]+/sippy`, "migrations of R2 (Sippy)"],
  [
    `${ACCOUNT}/r2/buckets/[^/]+/(cors|domains)`,
    "public access to R2",
    "Have a Worker that binds the bucket answer",
  ],
  [`${ACCOUNT}/r2-catalog`, "the data catalog of R2"],
  [`${ACCOUNT}/event_notifications/`, "event notifications of R2", "Send to a queue from a Worker"],
  [`${ACCOUNT}/event_subscriptions/`, "event subscriptions of queues"],
  [`${ACCOUNT}/containers/`, "containers"],
  [`${ACCOUNT}/vectorize/`, "Vectorize"],
  [`${ACCOUNT}/(ai|ai-search|ai-gateway|autorag)/`, "AI"],
  [`${ACCOUNT}/secrets_store/`, "the secrets store", "Use secrets of Workers: `wrangler secret`"],
  [`${ACCOUNT}/browser-rendering/`, "browser rendering"],
  [`${ACCOUNT}/pipelines`, "pipelines"],
  [`${ACCOUNT}/(cfd_tunnel|connectivity)`, "tunnels and VPC services"],
  [`${ACCOUNT}/challenges/widgets`, "Turnstile"],
  [
    `${ACCOUNT}/(logpush|workers/observability)`,
    "Logpush and queries of logs",
    "See docs/observability.md",
  ],
  [`${ACCOUNT}/(images|stream)/`, "Images and Stream"],
  [`(${ACCOUNT}|/zones/[^/]+)/email/`, "Email Routing"],
  ["/zones/[^/]+/purge_cache", "a cache"],
];

/** @param path below `/client/v4`, and as a message may show it */
export function unknownEndpoint(path: string, shown: string): Failure {
  const known = features.find(([start]) => new RegExp(`^${start}`).test(path));
  if (known === undefined) {
    return new Failure("route_not_found", { message: `no endpoint is "${shown}"` });
  }
  const [, feature, instead] = known;
  return new Failure("route_not_found", {
    message: `no endpoint is "${shown}": Countersign does not have ${feature}`,
    fix: `${instead === undefined ? "" : `${instead}. `}docs/wrangler.md lists what works.`,
  });
}
