import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, createServer, request as send, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { before, describe, test } from "node:test";
import { serve } from "@hono/node-server";
import {
  RevokedSerials,
  Trust,
  parsePolicy,
  workerSpiffeId,
  type Caller,
} from "countersign-origin";
import { authorize as forExpress } from "countersign-origin/express";
import { authorize as forFastify } from "countersign-origin/fastify";
import { authorize as forHono, secureServerOptions } from "countersign-origin/hono";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";

interface Origin extends AsyncDisposable {
  readonly port: number;
  readonly trust: Trust;
  decisions(): readonly { readonly code: string; readonly count: number }[];
}

type Start = (trust: Trust, options: Settings) => Promise<Omit<Origin, "trust">>;

interface Settings {
  readonly pair: { readonly cert: string; readonly key: string };
  readonly log: (message: string) => void;
}

/** Every handler answers with the caller, and whether the caller may write. */
const shown = (caller: Caller | null | undefined): object => ({
  worker: caller?.worker,
  mayPost: caller?.may("POST", "/api/orders"),
});

const frameworks: Readonly<Record<string, Start>> = {
  express: async (trust, { pair, log }) => {
    const guard = forExpress(trust, { trust, log });
    const app = express();
    const api = express.Router();
    // In a nested router, which sees only the rest of the path.
    api.use(guard);
    api.use(
      (request, response) => void response.json(shown((request as { caller?: Caller }).caller)),
    );
    app.use("/api", api);
    app.use(
      guard,
      (request, response) => void response.json(shown((request as { caller?: Caller }).caller)),
    );
    const server = createServer({ ...pair, ...secureServerOptions(trust) }, app);
    return listening(server, () => guard.decisions());
  },
  fastify: async (trust, { pair, log }) => {
    const guard = forFastify(trust, { trust, log });
    const app = fastify({ https: { ...pair, ...secureServerOptions(trust) } });
    app.addHook("onRequest", guard);
    app.all("/*", (request) => shown((request as unknown as { caller?: Caller }).caller));
    await app.listen({ host: "127.0.0.1", port: 0 });
    return {
      port: (app.server.address() as AddressInfo).port,
      decisions: () => guard.decisions(),
      [Symbol.asyncDispose]: async () => {
        app.server.closeAllConnections();
        await app.close();
      },
    };
  },
  hono: async (trust, { pair, log }) => {
    const guard = forHono(trust, { trust, log });
    const app = new Hono<{ Variables: { caller: Caller | null } }>();
    app.use(guard);
    app.all("*", (c) => c.json(shown(c.get("caller"))));
    const { promise, resolve } = Promise.withResolvers<void>();
    const server = serve(
      {
        fetch: app.fetch,
        createServer,
        serverOptions: { ...pair, ...secureServerOptions(trust) },
        hostname: "127.0.0.1",
        port: 0,
      },
      () => resolve(),
    ) as Server;
    await promise;
    return {
      port: (server.address() as AddressInfo).port,
      decisions: () => guard.decisions(),
      [Symbol.asyncDispose]: () => closed(server),
    };
  },
};

async function listening(
  server: Server,
  decisions: Origin["decisions"],
): Promise<Omit<Origin, "trust">> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    decisions,
    [Symbol.asyncDispose]: () => closed(server),
  };
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
}

let ca: TestAuthority;
let server: TestCertificate;
let callers: Record<"a" | "c" | "foreign", TestCertificate>;

before(async () => {
  ca = await makeAuthority("Acme");
  server = await ca.issue({ subject: "CN=localhost", dns: ["localhost"], ips: ["127.0.0.1"] });
  const [a, c, foreign] = await Promise.all([
    issue("a"),
    issue("c"),
    issue("a", await makeAuthority("Acme")),
  ]);
  callers = { a, c, foreign };
});

function issue(worker: string, by = ca): Promise<TestCertificate> {
  const name = { trustDomain: "example.org", account: "acme", worker, environment: null };
  return by.issue({ subject: `O=acme,CN=${worker}`, uris: [workerSpiffeId(name)] });
}

interface Answer {
  readonly status: number;
  readonly body: { readonly error?: { readonly code: string }; readonly worker?: string };
  readonly closes: boolean;
}

function ask(
  { port }: Pick<Origin, "port">,
  who: TestCertificate | null,
  asked: { readonly method?: string; readonly path?: string; readonly agent?: Agent } = {},
): Promise<Answer> {
  const { method = "GET", path = "/api/orders", agent = false } = asked;
  const pair = who && { cert: who.chain, key: who.key };
  return new Promise((resolve, reject) => {
    send({ host: "127.0.0.1", port, method, path, agent, ca: ca.pem, ...pair }, (response) => {
      void text(response).then((body) =>
        resolve({
          status: response.statusCode!,
          body: JSON.parse(body) as Answer["body"],
          closes: response.headers.connection === "close",
        }),
      );
    })
      .on("error", reject)
      .end();
  });
}

for (const [name, start] of Object.entries(frameworks)) {
  describe(name, () => {
    const logged: string[] = [];
    const open = async (): Promise<Origin> => {
      const policy = parsePolicy({
        allow: [
          { worker: "a", methods: ["GET", "POST"], paths: ["/api/*"] },
          { worker: "c", methods: "GET" },
        ],
      });
      const trust = new Trust({ authorities: [ca.pem], policy });
      const pair = { cert: server.chain, key: server.key };
      const started = await start(trust, { pair, log: (message) => logged.push(message) });
      return { ...started, trust, [Symbol.asyncDispose]: () => started[Symbol.asyncDispose]() };
    };

    test(`${name}: the handler knows who calls, and what the policy does not allow never reaches it`, async () => {
      await using origin = await open();
      assert.deepEqual((await ask(origin, callers.a, { method: "POST" })).body, {
        worker: "a",
        mayPost: true,
      });
      assert.deepEqual((await ask(origin, callers.c)).body, { worker: "c", mayPost: false });
      for (const [who, asked, status, code] of [
        [callers.c, { method: "POST" }, 403, "method_not_allowed"],
        [callers.a, { path: "/other" }, 403, "path_not_allowed"],
        [callers.a, { path: "/api/../other" }, 403, "path_ambiguous"],
        [callers.a, { path: "/api/%2e%2e/other" }, 403, "path_ambiguous"],
        [callers.foreign, {}, 401, "certificate_authority_mismatch"],
        [null, {}, 401, "certificate_missing"],
      ] as const) {
        const answer = await ask(origin, who, asked);
        assert.deepEqual([answer.status, answer.body.error?.code], [status, code]);
        assert.equal(answer.closes || status === 403, true);
      }
      const counted = origin.decisions().map(({ code, count }) => `${code} ${count}`);
      assert.ok(counted.includes("path_ambiguous 2"), counted.join());
      assert.ok(logged.some((line) => line.includes('refused Worker "c"')));
    });

    test(`${name}: a revocation refuses the next request of an open connection`, async () => {
      await using origin = await open();
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      assert.equal((await ask(origin, callers.a, { agent })).status, 200);
      const revoked = new RevokedSerials();
      revoked.add(callers.a.x509.serialNumber);
      origin.trust.replace({ revoked });
      const refused = await ask(origin, callers.a, { agent });
      assert.deepEqual([refused.status, refused.body.error?.code], [401, "certificate_revoked"]);
      agent.destroy();
    });
  });
}
