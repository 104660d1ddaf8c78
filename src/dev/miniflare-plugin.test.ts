import assert from "node:assert/strict";
import { test } from "node:test";
import { plugins } from "./miniflare-plugin.ts";

test("bindings of every other kind stay as they are", () => {
  const socketPath = "/tmp/cert.sock";
  const plugin = { name: "countersign" };
  // As Miniflare 5 passes them: KV, D1, R2, queues and send_email have a `dev` without a plugin.
  const env = {
    CERT: { type: "service", dev: { plugin, options: { socketPath } } },
    OTHER: { type: "service", dev: { plugin: { name: "other" }, options: { socketPath } } },
    KV: { type: "kv", dev: {} },
    D1: { type: "d1", dev: { options: {} } },
    R2: { type: "r2" },
    QUEUE: { type: "queue", dev: {} },
    MAIL: { type: "send_email", dev: {} },
    TEXT: { type: "plain_text" },
  };
  const bindings = plugins.countersign.getBindings({ config: { env } });
  assert.deepEqual(bindings, [{ name: "CERT", service: { name: `countersign:${socketPath}` } }]);
  assert.equal(plugins.countersign.getServices({ options: { config: { env } } }).length, 1);
  assert.deepEqual(plugins.countersign.getBindings({ config: {} }), []);
});

test("Miniflare 4 hands over only what is the plugin's", () => {
  const database = { database: "shop", user: "app", scheme: "postgresql" } as const;
  const options = [{ name: "DB", options: { socketPath: "/tmp/db.sock", database } }];
  assert.deepEqual(plugins.countersign.getBindings(options), [
    {
      name: "DB",
      hyperdrive: {
        designator: { name: "countersign:/tmp/db.sock" },
        ...database,
        password: "kept-by-the-gateway",
      },
    },
  ]);
  assert.equal(plugins.countersign.getServices({ options }).length, 1);
});
