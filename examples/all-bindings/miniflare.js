import { Miniflare } from "miniflare";
import { mtls, mtlsOrigin } from "countersign/miniflare";

await using origin = await mtlsOrigin({ names: ["origin.example"] });
await using bindings = await mtls({ ONE: {}, TWO: {} }, { hosts: { "origin.example": origin } });
const miniflare = new Miniflare({
  workers: [
    {
      name: "all",
      modules: true,
      scriptPath: "src/index.js",
      compatibilityDate: "2026-07-01",
      bindings: {
        GREETING: "hello",
        ORIGIN: "https://origin.example",
        VERSION: { id: "1" },
      },
      assets: {
        directory: "public",
        binding: "ASSETS",
        routerConfig: { has_user_worker: true },
      },
      kvNamespaces: ["KV"],
      d1Databases: ["DB"],
      r2Buckets: ["BUCKET"],
      durableObjects: { COUNTER: { className: "Counter", useSQLite: true } },
      queueProducers: { QUEUE: "jobs" },
      ratelimits: { LIMIT: { namespace_id: "1", simple: { limit: 100, period: 60 } } },
      serviceBindings: { ...bindings.serviceBindings, SELF: "all" },
    },
  ],
});
try {
  const response = await miniflare.dispatchFetch("http://all/");
  console.log(await response.text());
} finally {
  await miniflare.dispose();
}
