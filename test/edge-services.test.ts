import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { WorkerBinding } from "../src/contract/change-feed.ts";
import { Failure } from "../src/failures/failures.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { loadDuring } from "./helpers/load.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let edge: TestEdge;
before(async () => (edge = await startTestEdge()));
after(() => edge[Symbol.asyncDispose]());

function service(
  name: string,
  target: string,
  entrypoint?: string,
  props?: Readonly<Record<string, unknown>>,
): WorkerBinding {
  return {
    type: "service",
    name,
    service: target,
    ...(entrypoint !== undefined && { entrypoint }),
    ...(props !== undefined && { props }),
  };
}

function callee(generation: string): string {
  return `
    import { WorkerEntrypoint } from "cloudflare:workers";
    export class Admin extends WorkerEntrypoint {
      fetch() { return new Response("admin fetch ${generation}"); }
      greet(name) { return \`admin \${name} ${generation}\`; }
    }
    export default class extends WorkerEntrypoint {
      fetch(request) { return new Response(\`fetch \${new URL(request.url).pathname} ${generation}\`); }
      greet(name) { return \`hello \${name} ${generation}\`; }
      async slow(ms) { await scheduler.wait(ms); return "slow ${generation}"; }
    }`;
}

/** Does with its binding what the path says, and answers with the result or the exception. */
const caller = `
  export default {
    async fetch(request, env) {
      const { pathname, searchParams } = new URL(request.url);
      const binding = env[searchParams.get("binding") ?? "TARGET"];
      try {
        if (pathname === "/fetch") {
          const response = await binding.fetch("https://any.example/path");
          return new Response(await response.text(), { status: response.status });
        }
        if (pathname === "/slow") return new Response(await binding.slow(700));
        return new Response(await binding.greet("you"));
      } catch (error) {
        return new Response(String(error), { status: 500 });
      }
    },
  };`;

test("a service binding carries fetch and RPC, to the default and to a named entrypoint", async () => {
  await edge.deploy(makeVersion("target", callee("1")));
  const bindings = [service("TARGET", "target"), service("ADMIN", "target", "Admin")];
  await edge.deploy(makeVersion("caller", caller, bindings));
  const answers = await Promise.all(
    ["/fetch", "/rpc", "/fetch?binding=ADMIN", "/rpc?binding=ADMIN"].map((path) =>
      edge.fetch("caller.localhost", path).then(({ text }) => text),
    ),
  );
  assert.deepEqual(answers, ["fetch /path 1", "hello you 1", "admin fetch 1", "admin you 1"]);
});

test("each binding's own props are what its callee finds in ctx.props, and no caller sets others", async () => {
  const target = `
    import { WorkerEntrypoint } from "cloudflare:workers";
    export class Admin extends WorkerEntrypoint {
      props() { return this.ctx.props; }
    }
    export default class extends WorkerEntrypoint {
      fetch() { return Response.json(this.ctx.props ?? null); }
      props() { return this.ctx.props; }
    }`;
  const asking = `export default { async fetch(request, env) {
    const seen = { fetched: await (await env.ONE.fetch("https://any.example/")).json() };
    for (const name of ["ONE", "TWO", "ADMIN", "NONE"]) seen[name] = await env[name].props();
    return Response.json(seen);
  } };`;
  await edge.deploy(makeVersion("propped", target));
  const bindings = [
    service("ONE", "propped", undefined, { tenant: "one", deep: { n: [1, null] } }),
    service("TWO", "propped", undefined, { tenant: "two" }),
    service("ADMIN", "propped", "Admin", { tenant: "admin" }),
    service("NONE", "propped"),
  ];
  const one = { tenant: "one", deep: { n: [1, null] } };
  const seen = { fetched: one, ONE: one, TWO: { tenant: "two" }, ADMIN: { tenant: "admin" } };
  await edge.deploy(makeVersion("propper", asking, bindings));
  assert.deepEqual(JSON.parse((await edge.fetch("propper.localhost")).text), { ...seen, NONE: {} });
  // Another generation of the callee, and a caller whose props changed.
  await edge.stageAndDeploy(makeVersion("propped", target));
  const changed = [...bindings.slice(0, 3), service("NONE", "propped", undefined, { late: true })];
  await edge.stageAndDeploy(makeVersion("propper", asking, changed));
  const later = { ...seen, NONE: { late: true } };
  assert.deepEqual(JSON.parse((await edge.fetch("propper.localhost")).text), later);
});

test("a redeployed service is reached at once, and nothing that is in flight breaks", async () => {
  await edge.deploy(makeVersion("moving", callee("1")));
  const bindings = [service("TARGET", "moving"), service("ADMIN", "moving", "Admin")];
  await edge.deploy(makeVersion("mover", caller, bindings));
  const paths = ["/fetch", "/rpc", "/rpc?binding=ADMIN", "/slow"];
  const load = loadDuring(edge, "mover.localhost", paths, async () => {
    for (const generation of ["2", "3"]) {
      await edge.stageAndDeploy(makeVersion("moving", callee(generation)));
      const { text } = await edge.fetch("mover.localhost", "/rpc");
      assert.equal(text, `hello you ${generation}`);
    }
  });
  assert.deepEqual(await load, { failed: [] });
});

test("a service that is not deployed says so, and answers once it is", async () => {
  await edge.deploy(makeVersion("early", caller, [service("TARGET", "late")]));
  const absent = await edge.fetch("early.localhost", "/fetch");
  assert.equal(absent.status, 503);
  assert.match(absent.text, /the bound service is not deployed/);
  for (let call = 0; call < 20; call++) {
    const { status, text } = await edge.fetch("early.localhost", "/rpc");
    assert.equal(status, 500);
    assert.match(text, /^Error: the bound service is not deployed: error 7000305 \(/);
    assert.match(text, /\(service_not_deployed\)\. Deploy the Worker that the binding names/);
  }
  await edge.deploy(makeVersion("late", callee("1")));
  assert.equal((await edge.fetch("early.localhost", "/fetch")).text, "fetch /path 1");
  assert.equal((await edge.fetch("early.localhost", "/rpc")).text, "hello you 1");
});

test("an entrypoint that a service does not export says so, and stops neither Worker", async () => {
  await edge.deploy(makeVersion("plain", callee("1")));
  const bindings = [service("TARGET", "plain"), service("OTHER", "plain", "Nobody")];
  await edge.deploy(makeVersion("asker", caller, bindings));
  const missing = await edge.fetch("asker.localhost", "/fetch?binding=OTHER");
  assert.equal(missing.status, 503);
  assert.match(missing.text, /the bound service is not deployed/);
  const call = await edge.fetch("asker.localhost", "/rpc?binding=OTHER");
  assert.match(call.text, /error 7000305 \(service_not_deployed\)/);
  assert.equal((await edge.fetch("asker.localhost", "/rpc")).text, "hello you 1");
  await edge.deploy(
    makeVersion(
      "plain",
      `${callee("2")}\nexport class Nobody extends WorkerEntrypoint { fetch() { return new Response("here"); } }`,
    ),
  );
  assert.equal((await edge.fetch("asker.localhost", "/fetch?binding=OTHER")).text, "here");
});

test("a stored version whose binding leads to a door of the platform's does not run, and says why", async () => {
  await edge.deploy(makeVersion("guarded", callee("1")));
  for (const entrypoint of ["objects kept", "the events of the platform", "[null,{}]", "a b"]) {
    const stored = makeVersion("stored", caller, [service("TARGET", "guarded", entrypoint)]);
    await assert.rejects(
      edge.edge.stage(stored),
      (error) => error instanceof Failure && error.code === "entrypoint_not_a_class",
      entrypoint,
    );
    // As at the start of a platform that has the Worker in its database.
    const name = `stored-${entrypoint.length}`;
    await edge.deploy(makeVersion(name, caller, [service("TARGET", "guarded", entrypoint)]));
    assert.match(edge.worker(name).lastExit ?? "", /"TARGET".*is not the name of a class/);
    assert.notEqual(edge.worker(name).state, "running");
    assert.equal((await edge.fetch(`${name}.localhost`, "/fetch")).status, 503);
    // After the correction it runs.
    await edge.deploy(makeVersion(name, caller, [service("TARGET", "guarded", "Admin")]));
    assert.equal((await edge.fetch(`${name}.localhost`, "/rpc")).text, "admin you 1");
  }
});

test("a service whose process was killed is reached again, by fetch and RPC", async () => {
  await edge.deploy(makeVersion("fragile", callee("1")));
  await edge.deploy(makeVersion("user", caller, [service("TARGET", "fragile")]));
  assert.equal((await edge.fetch("user.localhost", "/rpc")).text, "hello you 1");
  const { pid } = edge.worker("fragile");
  process.kill(pid!, "SIGKILL");
  await until(() => ![pid, null].includes(edge.worker("fragile").pid));
  assert.equal((await edge.fetch("user.localhost", "/rpc")).text, "hello you 1");
  assert.equal((await edge.fetch("user.localhost", "/fetch")).text, "fetch /path 1");
});

/** Answers with the names of both Workers that it binds. */
function circular(generation: string): string {
  return `
    import { WorkerEntrypoint } from "cloudflare:workers";
    export default class extends WorkerEntrypoint {
      name() { return "${generation}"; }
      async fetch() { return new Response(await this.env.OTHER.name() + await this.env.SELF.name()); }
    }`;
}

function circle(self: string, other: string): readonly WorkerBinding[] {
  return [service("SELF", self), service("OTHER", other)];
}

test("Workers that bind themselves and each other are redeployed without losing a request", async () => {
  await edge.deploy(makeVersion("ping", circular("a"), circle("ping", "pong")));
  await edge.deploy(makeVersion("pong", circular("b"), circle("pong", "ping")));
  assert.equal((await edge.fetch("ping.localhost")).text, "ba");
  const load = loadDuring(edge, "pong.localhost", ["/"], async () => {
    await edge.stageAndDeploy(makeVersion("ping", circular("c"), circle("ping", "pong")));
    assert.equal((await edge.fetch("pong.localhost")).text, "cb");
    assert.equal((await edge.fetch("ping.localhost")).text, "bc");
  });
  assert.deepEqual(await load, { failed: [] });
});

test("a caller forges nothing of what the ingress says: cf is its own word to its callee, no header is", async () => {
  const target = `export default { fetch: (request) => Response.json({
    cf: request.cf ?? null, header: request.headers.get("countersign-cf"),
  }) };`;
  await edge.deploy(makeVersion("told", target));
  await edge.deploy(
    makeVersion(
      "forger",
      `export default { async fetch(request, env) {
        const forged = { "countersign-cf": '{"tlsClientAuth":{"certVerified":"SUCCESS"}}' };
        const plain = await env.TARGET.fetch("https://any.example/", { headers: forged });
        const own = await env.TARGET.fetch("https://any.example/", { headers: forged, cf: { a: 1 } });
        return Response.json([await plain.json(), await own.json()]);
      } };`,
      [service("TARGET", "told")],
    ),
  );
  const [plain, own] = JSON.parse((await edge.fetch("forger.localhost")).text) as unknown[];
  assert.deepEqual(plain, { cf: null, header: null });
  assert.deepEqual(own, { cf: { a: 1 }, header: null });
});
