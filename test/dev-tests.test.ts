import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { createTestHarness } from "../src/dev/harness.ts";
import { mtls, mtlsOrigin } from "../src/dev/miniflare.ts";
import { makeProject } from "./helpers/dev-project.ts";

const worker = `
export default {
  async fetch(request, env) {
    const response = await env.MY_CERT.fetch(new URL(request.url).searchParams.get("to"));
    return new Response(response.body, response);
  },
};`;

describe("countersign/miniflare", () => {
  for (const version of [4, 5]) {
    test(`gives a Miniflare ${version} Worker a real certificate and a real origin`, async () => {
      await using folder = await makeProject({});
      await using origin = await mtlsOrigin({ project: folder.folder });
      await using bindings = await mtls({ MY_CERT: {} }, { project: folder.folder });
      const options = { modules: true, script: worker, compatibilityDate: "2025-11-17" };
      const miniflare = new Miniflare(
        version === 4
          ? convertV4MiniflareOptions({ ...options, serviceBindings: bindings.serviceBindings })
          : withEnv(convertV4MiniflareOptions(options), bindings.env),
      );
      try {
        const response = await miniflare.dispatchFetch(`http://test/?to=${origin.url}/orders`);
        assert.equal(response.status, 200, await response.clone().text());
        assert.equal(origin.requests.length, 1);
        assert.match(origin.requests[0]?.client?.subject ?? "", /CN=MY_CERT/);
        assert.equal(origin.requests[0]?.path, "/orders");
      } finally {
        await miniflare.dispose();
      }
    });
  }

  test("a test's Worker presents an identity, and the origin's own policy decides by it as in production", async () => {
    await using folder = await makeProject({
      "countersign.json": JSON.stringify({ env: { staging: { identityEnvironments: true } } }),
    });
    await using origin = await mtlsOrigin({ project: folder.folder });
    await using bindings = await mtls(
      {
        MY_CERT: { identity: "orders" },
        OTHER: { identity: "orders", identityEnvironment: "canary" },
      },
      { project: folder.folder, account: "acme", environment: "staging" },
    );
    const miniflare = new Miniflare(
      convertV4MiniflareOptions({
        modules: true,
        script: worker.replace("env.MY_CERT", "env[new URL(request.url).pathname.slice(1)]"),
        compatibilityDate: "2025-11-17",
        serviceBindings: bindings.serviceBindings,
      }),
    );
    try {
      for (const [binding, environment] of [
        ["MY_CERT", "staging"],
        ["OTHER", "canary"],
      ]) {
        const to = `http://test/${binding}?to=${origin.url}/orders`;
        const response = await miniflare.dispatchFetch(to);
        assert.equal(response.status, 200, await response.clone().text());
        const { subject, spiffeId } = origin.requests.at(-1)!.client!;
        assert.equal(subject, "CN=orders,O=acme");
        const id = "spiffe://countersign.internal/account/acme/worker/orders";
        assert.equal(spiffeId, `${id}/environment/${environment}`);
      }
    } finally {
      await miniflare.dispose();
    }
    await assert.rejects(
      mtls({ ME: { identity: "a", cert: "a.pem" } }, { project: folder.folder }),
      /either a certificate or an identity/,
    );
    await assert.rejects(
      mtls({ ME: { identityEnvironment: "staging" } }, { project: folder.folder }),
      /an environment needs its identity/,
    );
  });

  test("an origin fails in each way that it is told to, and the failure has its code", async () => {
    await using folder = await makeProject({});
    await using origin = await mtlsOrigin({ project: folder.folder });
    await using bindings = await mtls(
      { MY_CERT: {} },
      { project: folder.folder, hosts: { "api.example.com": origin } },
    );
    const miniflare = new Miniflare(
      convertV4MiniflareOptions({
        modules: true,
        script: worker,
        compatibilityDate: "2025-11-17",
        serviceBindings: bindings.serviceBindings,
      }),
    );
    const codeWith = async (faults: Parameters<typeof origin.fail>[0]): Promise<string | null> => {
      await origin.fail(faults);
      const response = await miniflare.dispatchFetch(`http://test/?to=${origin.url}`);
      await response.text();
      return response.headers.get("countersign-failure");
    };
    try {
      assert.equal(await codeWith({}), null);
      assert.equal(await codeWith({ expired: true }), "origin_certificate_expired");
      assert.equal(await codeWith({ wrongName: true }), "origin_certificate_wrong_name");
      assert.equal(await codeWith({ unknownCa: true }), "origin_certificate_unknown_ca");
      assert.equal(await codeWith({ wantsAnotherCa: true }), "origin_closed_first_read");
      assert.equal(await codeWith({ resets: true }), "origin_closed_first_read");
      assert.equal(await codeWith({ slow: 20 }), null);
      assert.equal(await codeWith({ tls12Only: true }), null);
      assert.equal(origin.requests.at(-1)?.tls.version, "TLSv1.2");
      assert.equal(await codeWith({}), null);
      assert.equal(origin.requests.at(-1)?.tls.version, "TLSv1.3");
      assert.equal(bindings.failures.length, 5);
      assert.equal(bindings.failures[0]?.binding, "MY_CERT");

      const named = await miniflare.dispatchFetch("http://test/?to=https://api.example.com/");
      assert.equal(
        named.headers.get("countersign-failure"),
        null,
        "its certificate is for it, too",
      );
      assert.equal(origin.requests.at(-1)?.headers["host"], "api.example.com");
      await named.text();
    } finally {
      await miniflare.dispose();
    }
  });
});

describe("countersign/harness", () => {
  test("gives every Worker of wrangler's test harness its mTLS bindings, after a reset too", async () => {
    await using project = await makeProject({
      "index.js": worker,
      "wrangler.json": JSON.stringify({
        name: "shop",
        main: "index.js",
        compatibility_date: "2025-11-17",
        mtls_certificates: [{ binding: "MY_CERT", certificate_id: "none" }],
      }),
    });
    await using origin = await mtlsOrigin({ project: project.folder });
    await using bindings = await mtls({}, { project: project.folder });
    const server = await createTestHarness(
      { root: project.folder, workers: [{ configPath: "wrangler.json" }] },
      bindings,
    );
    try {
      await server.listen();
      await server.listen();
      const path = `/?to=${encodeURIComponent(origin.url)}`;
      assert.equal((await server.fetch(path)).status, 200);
      await server.reset();
      assert.equal((await server.fetch(path)).status, 200);
      assert.deepEqual(
        origin.requests.map(({ client }) => /CN=([^,]*)/.exec(client?.subject ?? "")?.[1]),
        ["MY_CERT", "MY_CERT"],
      );
    } finally {
      await server.close();
    }
  });
});

function withEnv(
  options: ReturnType<typeof convertV4MiniflareOptions>,
  env: Readonly<Record<string, unknown>>,
): typeof options {
  const [first] = options.workers as { config: { env?: Record<string, unknown> } }[];
  Object.assign((first!.config.env ??= {}), env);
  return options;
}
