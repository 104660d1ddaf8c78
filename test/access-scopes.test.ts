import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { allScopes, isScope, type Scope, scopeMeanings } from "../src/control/api/scopes.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { createToken } from "../src/store/access/tokens.ts";
import { startControl, type TestControl } from "./helpers/control.ts";

const UPLOADS = [
  "/accounts/{account_id}/workers/assets/upload",
  "/accounts/{account_id}/workers/assets/upload/{asset_hash}",
];

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly scope: Scope | null;
}

describe("every route of the OpenAPI document", () => {
  let control: TestControl;
  let operations: readonly Operation[];
  const now = new Date();

  before(async () => {
    control = await startControl();
    operations = await documented(control.api);
  });
  after(() => control[Symbol.asyncDispose]());

  const tokenWith = async (scopes: readonly string[], accountId?: string): Promise<string> => {
    const owner = accountId ?? control.accountId;
    const { value } = await control.store.write(async ({ db }) => ({
      value: await createToken(db, {
        accountId: owner,
        name: "t",
        email: "t@localhost",
        scopes,
        expiresOn: null,
        now,
      }),
      audit: null,
    }));
    return value.token;
  };

  const status = async ({ method, path }: Operation, token: string): Promise<number> => {
    const filled = path
      .replace("{account_id}", control.accountId)
      .replaceAll(/\{\w+\}/g, "nothing-there");
    const response = await fetch(control.api + filled, {
      method: method.toUpperCase(),
      headers: { authorization: `Bearer ${token}` },
    });
    await response.body?.cancel();
    return response.status;
  };

  it("names an existing scope, except the operations that say what a token is", () => {
    assert.ok(operations.length > 40);
    const without = operations.filter(({ scope }) => scope === null).map(({ path }) => path);
    // wrangler asks for the accounts after any error, whatever token it has. The memberships say no more than that
    // list. Only the person, never a token, may reach the person's own password, codes and sessions.
    const ofTokens = without.filter((path) => !path.startsWith("/user/countersign/"));
    assert.deepEqual(ofTokens, [
      "/accounts",
      "/memberships",
      "/user/tokens/verify",
      "/accounts/{account_id}/tokens/verify",
      // These accept only the token of an upload session of the Worker's files.
      ...UPLOADS,
    ]);
    const used = new Set(operations.map(({ scope }) => scope));
    for (const scope of Object.keys(scopeMeanings)) {
      assert.ok(used.has(scope as Scope), `no route needs ${scope}`);
    }
  });

  it("refuses a token that has every scope but the one it needs", async () => {
    const tokens = new Map<Scope, string>();
    for (const scope of new Set(operations.flatMap((operation) => operation.scope ?? []))) {
      const rest = Object.keys(scopeMeanings).filter(
        (other) => other !== scope && other !== scope.replace(/:read$/, ":write"),
      );
      tokens.set(scope, await tokenWith(rest));
    }
    for (const operation of operations) {
      if (operation.scope === null) continue;
      const lacking = await status(operation, tokens.get(operation.scope) ?? "");
      assert.equal(lacking, 403, `${operation.method} ${operation.path}`);
    }
  });

  it("takes a token that has that scope alone", async () => {
    const tokens = new Map<Scope, string>();
    for (const operation of operations) {
      if (operation.scope === null) continue;
      const token = tokens.get(operation.scope) ?? (await tokenWith([operation.scope]));
      tokens.set(operation.scope, token);
      const allowed = await status(operation, token);
      assert.ok(
        allowed !== 401 && allowed !== 403,
        `${operation.method} ${operation.path}: ${allowed}`,
      );
    }
  });

  it("refuses every other account's token, whatever it may do there", async () => {
    const { value: other } = await control.store.write(async ({ db }) => ({
      value: await createAccount(db, { name: "Other", subdomain: "other", now }),
      audit: null,
    }));
    const token = await tokenWith(allScopes, other.id);
    const inAccount = operations.filter(
      ({ path }) => path.includes("{account_id}") && !UPLOADS.includes(path),
    );
    assert.ok(inAccount.length > 30);
    for (const operation of inAccount) {
      assert.equal(await status(operation, token), 403, `${operation.method} ${operation.path}`);
    }
    for (const path of UPLOADS) {
      assert.equal(await status({ method: "post", path, scope: null }, token), 401, path);
    }
  });
});

async function documented(api: string): Promise<Operation[]> {
  const document = (await (await fetch(`${api}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { security: { api_token: string[] }[] }>>;
  };
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security }]) => {
      const [scope = null] = security[0]?.api_token ?? [];
      assert.ok(scope === null || isScope(scope), `${method} ${path}: ${scope}`);
      return { method, path, scope };
    }),
  );
}
