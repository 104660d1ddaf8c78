import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { allScopes } from "../src/control/api/scopes.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { createToken } from "../src/store/access/tokens.ts";
import { callApi, type Envelope, startControl, type TestControl } from "./helpers/control.ts";
import { engines } from "./helpers/database.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

const usages = ["serverAuth"] as const;

const hostPath = (host: string): string => `/accounts/{account}/countersign/hosts/${host}`;

type Target = Parameters<typeof callApi>[0];

for (const [engine, open] of Object.entries(engines)) {
  describe(`routes and hosts, on ${engine}`, () => {
    let control: TestControl;
    let other: Target;
    before(async () => {
      control = await startControl({ open });
      const now = new Date();
      const { value } = await control.store.write(async ({ db }) => {
        const account = await createAccount(db, { name: "Other", subdomain: "other", now });
        const { token } = await createToken(db, {
          accountId: account.id,
          name: "other",
          email: "other@localhost",
          scopes: allScopes,
          expiresOn: null,
          now,
        });
        return { value: { accountId: account.id, token }, audit: null };
      });
      other = { api: control.api, ...value };
      for (const name of ["one", "two"]) {
        for (const target of [control, other]) {
          await callApi(target, "PUT", `/accounts/{account}/workers/scripts/${name}`, scriptForm());
        }
      }
    });
    after(() => control[Symbol.asyncDispose]());

    const hostsOf = async (scriptName: string, accountId: string): Promise<string[]> => {
      const deployment = await storeSource(control.store).deployment({ accountId, scriptName });
      return [...(deployment?.hosts ?? []), ...(deployment?.routes ?? [])];
    };
    /** Routes other than the names under localhost, which every script has. */
    const live = async (scriptName: string, accountId = control.accountId): Promise<string[]> =>
      (await hostsOf(scriptName, accountId)).filter((host) => !host.endsWith(".localhost"));

    it("a route leads to one script, and replacing them removes what is not named", async () => {
      const first = await setRoutes(control, "one", ["a.example.com/*", "b.example.com/*"]);
      assert.equal(first.status, 200, JSON.stringify(first.errors));
      const taken = await setRoutes(control, "two", ["c.example.com/*", "b.example.com/*"]);
      assert.deepEqual([taken.status, taken.errors[0]?.code], [409, 10020]);
      assert.match(
        taken.errors[0]?.message ?? "",
        /"b\.example\.com\/\*" already leads to the Worker "one"/,
      );
      assert.deepEqual(await live("two"), []);
      assert.equal((await setRoutes(control, "one", ["a.example.com/*"])).status, 200);
      assert.deepEqual(await live("one"), ["a.example.com/*"]);
    });

    it("a host belongs to the account that came first", async () => {
      await setRoutes(control, "one", ["*.ours.example/*"]);
      for (const pattern of ["shop.ours.example/*", "*.ours.example/deep/*", "*.example/*"]) {
        const refused = await setRoutes(other, "one", [pattern]);
        assert.equal(refused.status >= 400, true, pattern);
      }
      const domain = await setDomains(other, "one", ["shop.ours.example"]);
      assert.match(domain.errors[0]?.message ?? "", /is in hosts of another account/);
      assert.deepEqual(await live("one", other.accountId), []);
      assert.equal((await setRoutes(other, "one", ["theirs.example/*"])).status, 200);
      await setRoutes(other, "one", []);
    });

    it("what a host presents, asks of clients and leads to is its own account's to say", async () => {
      await setRoutes(control, "one", ["*.mine.example/*"]);
      await callApi(control, "POST", "/zones", { name: "zoned.example" });
      const hosts = ["a.mine.example", "*.example", "a.zoned.example", "*.zoned.example"];
      const own = ["one.localhost", "*.localhost"];
      for (const host of [...hosts, ...own]) {
        const clients = await callApi(other, "PUT", `${hostPath(host)}/clients`, {
          mode: "required",
        });
        assert.match(clients.errors[0]?.message ?? "", /belongs to another account/, host);
      }
      const authority = await makeAuthority();
      const path = "/accounts/{account}/access/certificates";
      const associate = (target: typeof other, host: string) =>
        callApi(target, "POST", path, {
          name: "robots",
          certificate: authority.pem,
          associated_hostnames: [host],
        });
      for (const host of ["a.mine.example", "a.zoned.example", "one.localhost"]) {
        const asked = await associate(other, host);
        assert.match(asked.errors[0]?.message ?? "", /belongs to another account/, host);
      }
      const kept = await associate(other, "robots.example");
      assert.equal(kept.status, 201, JSON.stringify(kept.errors));
      assert.equal((await setRoutes(control, "one", ["robots.example/*"])).status >= 400, true);
      await callApi(other, "DELETE", `${path}/${(kept.result as { id: string }).id}`);
      const pair = async (host: string) => {
        const leaf = await authority.issue({ subject: `CN=${host}`, dns: [host], usages });
        return { certificate: leaf.chain, private_key: leaf.key };
      };
      for (const host of hosts) {
        const presented = await callApi(
          other,
          "PUT",
          `${hostPath(host)}/certificate`,
          await pair(host),
        );
        assert.equal(presented.status, 400, host);
        assert.match(presented.errors[0]?.message ?? "", /another account|not in the zone/, host);
        const origin = { to: "https://10.0.0.5", certificate: "any" };
        const led = await callApi(other, "PUT", `${hostPath(host)}/origin`, origin);
        assert.equal(led.status >= 400, true, host);
      }
      // The account that came first keeps the host, and others cannot take it with a route either.
      const free = `${hostPath("free.example")}/certificate`;
      assert.equal((await callApi(other, "PUT", free, await pair("free.example"))).status, 200);
      const late = await callApi(control, "PUT", free, await pair("free.example"));
      assert.match(late.errors[0]?.message ?? "", /belongs to another account/);
      assert.equal((await setRoutes(control, "one", ["free.example/*"])).status >= 400, true);
      const mine = await callApi(control, "PUT", `${hostPath("one.localhost")}/clients`, {
        mode: "off",
      });
      assert.equal(mine.status, 200);
      assert.equal((await callApi(other, "DELETE", free)).status, 200);
    });

    it("a proxied name is nobody else's, and a name that somebody else has is not proxied", async () => {
      assert.equal((await setRoutes(other, "one", ["taken.proxied.example/*"])).status, 200);
      const make = () => callApi(control, "POST", "/zones", { name: "proxied.example" });
      assert.equal((await make()).errors[0]?.code, 1061);
      await setRoutes(other, "one", []);
      const zone = await make();
      assert.equal(zone.status, 200, JSON.stringify(zone.errors));
      const records = `/zones/${(zone.result as { id: string }).id}/dns_records`;
      const record = { type: "A", name: "www", content: "10.0.0.5", proxied: true };
      const made = await callApi(control, "POST", records, record);
      assert.equal(made.status, 200, JSON.stringify(made.errors));
      const host = "www.proxied.example";
      for (const [method, path, body] of [
        ["PUT", `${hostPath(host)}/clients`, { mode: "required" }],
        ["PUT", `${hostPath(host)}/origin`, { to: "https://10.0.0.6", certificate: "any" }],
        ["PUT", `${hostPath("*.proxied.example")}/clients`, { mode: "required" }],
      ] as const) {
        const claim = await callApi(other, method, path, body);
        assert.match(claim.errors[0]?.message ?? "", /belongs to another account/, path);
      }
      for (const pattern of [`${host}/*`, "*.proxied.example/*", "*.example/*"]) {
        assert.equal((await setRoutes(other, "one", [pattern])).status >= 400, true, pattern);
      }
    });

    it("no Worker's route or custom domain is in a zone that another account has made", async () => {
      await callApi(control, "POST", "/zones", { name: "held.example" });
      const patterns = [
        "held.example/*",
        "api.held.example/*",
        "*.held.example/*",
        "*held.example",
      ];
      for (const pattern of patterns) {
        const refused = await setRoutes(other, "one", [pattern]);
        assert.equal(refused.errors[0]?.meta?.["failure"], "route_taken", pattern);
        const message = refused.errors[0]?.message ?? "";
        assert.match(message, /is in hosts of another account\. Use a host of your own/, pattern);
      }
      const found = await callApi(other, "GET", "/zones?name=held.example");
      const path = `/zones/${found.result[0].id}/workers/routes`;
      const added = { pattern: "api.held.example/*", script: "one" };
      assert.equal((await callApi(other, "POST", path, added)).status, 409);
      assert.equal((await setDomains(other, "one", ["api.held.example"])).status, 409);
      const attached = { hostname: "api.held.example", service: "one" };
      const domains = "/accounts/{account}/workers/domains";
      assert.equal((await callApi(other, "PUT", domains, attached)).status, 409);
      assert.deepEqual(await live("one", other.accountId), []);
      assert.equal((await setRoutes(control, "one", ["api.held.example/*"])).status, 200);
      assert.equal((await setRoutes(other, "one", ["unheld.example/*"])).status, 200);
      await setRoutes(other, "one", []);
    });

    it("nobody makes a zone of names that lead to another account's Workers", async () => {
      assert.equal((await setRoutes(other, "one", ["api.led.example/*"])).status, 200);
      for (const name of ["led.example", "api.led.example"]) {
        const refused = await callApi(control, "POST", "/zones", { name });
        assert.equal(refused.errors[0]?.meta?.["failure"], "zone_taken", name);
      }
      assert.equal((await callApi(other, "POST", "/zones", { name: "led.example" })).status, 200);
      const below = await callApi(control, "POST", "/zones", { name: "deep.led.example" });
      assert.equal(below.errors[0]?.meta?.["failure"], "zone_taken");
      await setRoutes(other, "one", []);
    });

    it("nobody sets anything for hosts below a subdomain that another account may register", async () => {
      const leaf = await (
        await makeAuthority()
      ).issue({ subject: "CN=shop", dns: ["*.shop.workers.dev"] });
      const pair = { certificate: leaf.pem, private_key: leaf.key };
      for (const host of ["one.shop.workers.dev", "*.shop.localhost", "*.workers.dev"]) {
        const rules = await callApi(other, "PUT", `${hostPath(host)}/clients`, {
          mode: "required",
        });
        assert.match(rules.errors[0]?.message ?? "", /belongs to another account/, host);
      }
      const path = `${hostPath("*.shop.workers.dev")}/certificate`;
      assert.match(
        (await callApi(other, "PUT", path, pair)).errors[0]?.message ?? "",
        /belongs to another account/,
      );
      for (const name of ["shop.workers.dev", "deep.shop.localhost"]) {
        const zone = await callApi(other, "POST", "/zones", { name });
        assert.equal(zone.errors[0]?.meta?.["failure"], "zone_taken", name);
      }
    });

    it("a subdomain is free once who had it has nothing to say of its hosts any more", async () => {
      assert.equal((await register(other, "moved")).status, 200);
      assert.equal((await setRules(other, "required")).status, 200);
      assert.equal((await register(other, "other")).status, 200);
      assert.match((await setRules(other, "optional")).errors[0]?.message ?? "", /another account/);
      const early = await register(control, "moved");
      assert.equal(early.errors[0]?.meta?.["failure"], "subdomain_taken");
      const asked = "/accounts/{account}/workers/subdomains/moved";
      assert.equal((await callApi(control, "GET", asked)).status, 409);
      assert.equal((await setRules(other, "off")).status, 200);
      assert.equal((await callApi(control, "GET", asked)).status, 404);
      assert.equal((await register(control, "moved")).status, 200);
      assert.equal((await setRules(control, "required")).status, 200);
      await setRules(control, "off");
      assert.equal((await register(control, "countersign")).status, 200);
    });

    it("no route takes over the hosts that Workers have by themselves", async () => {
      for (const pattern of ["one.other.workers.dev/*", "*.workers.dev/*", "one.localhost/*"]) {
        const refused = await setRoutes(control, "one", [pattern]);
        assert.equal(refused.errors[0]?.meta?.["failure"], "route_invalid", pattern);
      }
      const refused = await setDomains(control, "one", ["one.other.localhost"]);
      assert.equal(refused.errors[0]?.meta?.["failure"], "route_invalid");
    });

    it("a custom domain moves to another script only when that is asked for", async () => {
      assert.equal((await setDomains(control, "one", ["api.example.net"])).status, 200);
      const kept = await setDomains(control, "two", ["api.example.net"], false);
      assert.equal(kept.errors[0]?.code, 10020);
      const path = "/accounts/{account}/workers/scripts/two/domains/changeset?replace_state=true";
      const { result } = await control.call("POST", path, [{ hostname: "api.example.net" }]);
      assert.equal(result.updated[0].modified, true);
      assert.equal((await setDomains(control, "two", ["api.example.net"])).status, 200);
      assert.ok((await live("two")).includes("api.example.net"));
      assert.ok(!(await live("one")).includes("api.example.net"));
    });

    it("a zone is found by name, and its routes are added and deleted one by one", async () => {
      const zones = await control.call("GET", "/zones?name=example.org&account.id={account}");
      const [{ id, name }] = zones.result;
      assert.equal(name, "example.org");
      const routes = `/zones/${id}/workers/routes`;
      const added = await control.call("POST", routes, {
        pattern: "www.example.org/*",
        script: "two",
      });
      assert.equal(added.status, 200, JSON.stringify(added.errors));
      assert.deepEqual((await control.call("GET", routes)).result[0].pattern, "www.example.org/*");
      assert.deepEqual((await callApi(other, "GET", routes)).result, []);
      const route = `${routes}/${added.result.id}`;
      assert.equal((await callApi(other, "DELETE", route)).status, 404);
      assert.equal((await control.call("DELETE", route)).status, 200);
      assert.deepEqual((await control.call("GET", routes)).result, []);
    });

    it("only the first account's scripts answer at the short local name", async () => {
      for (const target of [control, other]) {
        const path = "/accounts/{account}/workers/scripts/one/subdomain";
        await callApi(target, "POST", path, { enabled: true });
      }
      assert.ok((await hostsOf("one", control.accountId)).includes("one.localhost"));
      assert.deepEqual(await hostsOf("one", other.accountId), [
        "one.other.localhost",
        "one.other.workers.dev",
      ]);
    });
  });
}

function setRoutes(target: Target, script: string, patterns: readonly string[]): Promise<Envelope> {
  const routes = patterns.map((pattern) => ({ pattern }));
  return callApi(target, "PUT", `/accounts/{account}/workers/scripts/${script}/routes`, routes);
}

function setDomains(
  target: Target,
  script: string,
  hosts: readonly string[],
  override = true,
): Promise<Envelope> {
  return callApi(target, "PUT", `/accounts/{account}/workers/scripts/${script}/domains/records`, {
    origins: hosts.map((hostname) => ({ hostname })),
    override_existing_origin: override,
  });
}

function register(who: Target, subdomain: string): ReturnType<typeof callApi> {
  return callApi(who, "PUT", "/accounts/{account}/workers/subdomain", { subdomain });
}

function setRules(who: Target, mode: string): ReturnType<typeof callApi> {
  return callApi(who, "PUT", `${hostPath("one.moved.workers.dev")}/clients`, { mode });
}
