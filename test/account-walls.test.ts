import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { idAt, queries, shared } from "./helpers/attack-ids.ts";
import { bodiesOf } from "./helpers/attacks.ts";
import type { JsonSchema } from "./helpers/described-bodies.ts";
import { makeOneOfEach, type Material, newMaterial, type Things } from "./helpers/one-of-each.ts";
import { type Envelope, startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { goneFrom, newRows, type Rows, rowsIn } from "./helpers/table-rows.ts";
import { type RawAnswer, rawRequest } from "./helpers/raw-request.ts";

/** One of the OpenAPI document. */
interface Operation {
  /** `GET /accounts/{account_id}/queues/{queue_id}` */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  /** The parameters of its path whose values are an account's own. */
  readonly parameters: readonly string[];
  readonly queries: readonly string[];
  /** Of its JSON body, at any depth. */
  readonly fields: readonly string[];
}

/** One way to name things of another account in one call: in the path, the query, or the body. */
interface Attack {
  readonly operation: Operation;
  /** Those of the parameters that name another's. */
  readonly foreign: ReadonlySet<string>;
  readonly query?: string;
  readonly body?: { readonly index: number; readonly isForeign: boolean };
}

interface Account {
  readonly things: Things;
  readonly token: string;
}

/** Fields of bodies that name what an account has. */
const IN_BODIES =
  /(^|_)(id|ids|script|script_name|service|worker|queue|account|authorities|policies|instances|hostnames?)$/;

/** Their names are such, and they name nothing that an account has. */
const ofNobody = new Set([
  'PATCH /zones/{zone_id}/settings: "id"',
  'PUT /accounts/{account_id}/countersign/hosts/{host}/acme: "external_account"',
]);

/** They are about the sessions of a person who signed in, which no token reads. */
const OF_PEOPLE = "/user/countersign/";

/** How the API says that a host, of which there is one for all accounts, is another account's. */
const taken = new Set([
  "access_invalid", "acme_host_unfit", "client_rules_invalid", "host_origin_taken", "route_taken", "subdomain_taken", "zone_taken",
]); // prettier-ignore

/** Refusals of a call that was not understood: such an attack would attack nothing. */
const misunderstood = new Set([
  "body_not_json", "body_not_multipart", "request_invalid", "route_not_found", "binding_field_unsupported", "internal",
]); // prettier-ignore

describe("a token of one account, with the ids and names of what another has", () => {
  let platform: TestPlatform;
  let material: Material;
  let attacker: Account;
  let victim: Account;
  /** In form as the victim's, and nobody's. */
  let nobodys: Things;
  let operations: readonly Operation[];
  let rowsBefore: Rows;

  before(async () => {
    platform = await startPlatform({ args: [] });
    material = await newMaterial();
    operations = await documented(platform.ready.api);
    attacker = await newAccount("attacker");
    const rowsOfOthers = rowsIn(platform.dataFolder);
    victim = await newAccount("victim");
    rowsBefore = newRows(rowsIn(platform.dataFolder), rowsOfOthers);
    nobodys = Object.fromEntries(
      Object.entries(victim.things).map(([key, value]) => [key, unknownLike(value)]),
    ) as unknown as Things;
  });
  after(() => platform[Symbol.asyncDispose]());

  const newAccount = async (word: string): Promise<Account> => {
    const { id } = await admin("/accounts", { name: word, subdomain: word });
    const wanted = { name: word, account: word, role: "admin", seconds: 3600 };
    const { token } = await admin("/tokens", wanted);
    const things = await makeOneOfEach(
      async (method, path, body) => {
        const target = `/client/v4${path.replace("{account}", id)}`;
        const { text } = await send({ method, target, token, sent: await bytesOf(body) });
        return JSON.parse(text) as Envelope;
      },
      { accountId: id, word, material },
    );
    return { things, token };
  };

  const admin = async (path: string, body: object): Promise<{ id: string; token: string }> =>
    await new Promise((resolve, reject) => {
      const socketPath = join(platform.dataFolder, "admin.sock");
      const headers = { "content-type": "application/json" };
      request({ socketPath, path, method: "POST", headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(JSON.parse(text) as { id: string; token: string }));
      })
        .on("error", reject)
        .end(JSON.stringify(body));
    });

  const send = async (call: {
    readonly method: string;
    readonly target: string;
    readonly token: string;
    readonly sent: Sent | undefined;
  }): Promise<RawAnswer> => {
    const { method, target, token, sent } = call;
    const headers = {
      authorization: `Bearer ${token}`,
      ...(sent && { "content-type": sent.type }),
    };
    const url = new URL(platform.ready.api).origin + target;
    return await rawRequest({ method, url, headers, ...(sent && { body: sent.bytes }) });
  };

  /** @returns what was answered, and all that was sent */
  const make = async (
    { operation, foreign, query, body }: Attack,
    { things: own, token }: Account,
    others: Things,
  ): Promise<RawAnswer & { readonly sent: string }> => {
    const { method, name, path } = operation;
    const filled = path
      .replace("{account_id}", own.accountId)
      .replaceAll(/\{(\w+)\}/g, (_, parameter: string) =>
        encodeURIComponent(idAt(foreign.has(parameter) ? others : own, path, parameter) ?? ""),
      );
    const search =
      query === undefined ? "" : `?${query}=${encodeURIComponent(queries[query]?.(others) ?? "")}`;
    const target = `/client/v4${filled}${search}`;
    const sent =
      body && (await bytesOf(bodiesOf(name, body.isForeign ? others : own, material)[body.index]));
    const answer = await send({ method, target, token, sent });
    return { ...answer, sent: `${target} ${sent ? Buffer.from(sent.bytes).toString() : ""}` };
  };

  /** A Worker of the attacker's own that has the victim's name would make the next calls differ. */
  const clean = async (): Promise<void> => {
    const { accountId } = attacker.things;
    for (const { script } of [nobodys, victim.things]) {
      const target = `/client/v4/accounts/${accountId}/workers/scripts/${script}?force=true`;
      await send({ method: "DELETE", target, token: attacker.token, sent: undefined });
    }
  };

  it("knows what every parameter and every name of the OpenAPI document is", () => {
    const unknown = operations.flatMap(({ name, path, parameters, queries: asked, fields }) => [
      ...parameters
        .filter(
          (parameter) =>
            parameter !== "session_id" && idAt(victim.things, path, parameter) === undefined,
        )
        .map((parameter) => `${name}: {${parameter}}`),
      ...asked
        .filter((query) => /account|worker|script|service|host|zone|(^|_)id$/.test(query))
        .filter((query) => queries[query] === undefined)
        .map((query) => `${name}: ?${query}`),
      ...fields
        .filter((field) => IN_BODIES.test(field) && !namesThings(name, material))
        .map((field) => `${name}: "${field}"`)
        .filter((field) => !ofNobody.has(field)),
    ]);
    assert.deepEqual(unknown, []);
  });

  it("is answered as for what nobody has, and neither reads nor changes it", async (t) => {
    let count = 0;
    const wrong: string[] = [];
    for (const attack of operations.flatMap((operation) =>
      attacksOf(operation, attacker, material),
    )) {
      count += 1;
      const { name } = attack.operation;
      const where = `${name} ${[...attack.foreign, attack.query, attack.body && JSON.stringify(attack.body)].join(" ")}`;
      const nothing = await make(attack, attacker, nobodys);
      const others = await make(attack, attacker, victim.things);
      const said = verdict(others);
      const unknown = verdict(nothing);
      if (misunderstood.has(said.failure)) wrong.push(`${where}: not tried, ${others.text}`);
      if (!isFine(said, unknown)) {
        wrong.push(`${where}: ${shown(said)}, for nobody's ${shown(unknown)}`);
      }
      const leak = idsOf(victim.things).find(
        (id) => others.text.includes(id) && !others.sent.includes(id),
      );
      if (leak !== undefined || others.text.includes("kept by victim"))
        wrong.push(`${where}: reads ${leak}`);
      if (attack.operation.method === "GET") continue;
      for (const row of goneFrom(rowsIn(platform.dataFolder), rowsBefore))
        wrong.push(`${where}: changed ${row}`);
      if (said.status < 300 || unknown.status < 300) await clean();
    }
    t.diagnostic(`${count} attacks on ${operations.length} operations`);
    assert.deepEqual(wrong, []);
  });
});

function attacksOf(
  operation: Operation,
  { things }: Account,
  material: Material,
): readonly Attack[] {
  const { parameters, path, name } = operation;
  if (path.startsWith(OF_PEOPLE)) return [];
  const bodies = bodiesOf(name, things, material);
  const body = bodies.length > 0 ? { body: { index: 0, isForeign: false } } : {};
  const naming = namesThings(name, material) ? bodies.map((_, index) => index) : [];
  const foreign = [parameters, parameters.slice(1)].filter(({ length }) => length > 0);
  return [
    ...foreign.map((some) => ({ operation, foreign: new Set(some), ...body })),
    ...operation.queries
      .filter((query) => queries[query] !== undefined)
      .map((query) => ({ operation, foreign: new Set<string>(), query, ...body })),
    ...naming.map((index) => ({
      operation,
      foreign: new Set<string>(),
      body: { index, isForeign: true },
    })),
  ];
}

function namesThings(operation: string, material: Material): boolean {
  let names = false;
  const watched = new Proxy({} as Things, {
    get: () => {
      names = true;
      return "x";
    },
  });
  bodiesOf(operation, watched, material);
  return names;
}

interface Verdict {
  readonly status: number;
  /** Empty: it was done. */
  readonly failure: string;
}

/** A call that is refused only because the thing is another's is what it should be. */
function isFine(others: Verdict, nobodys: Verdict): boolean {
  if (shown(others) === shown(nobodys) || taken.has(others.failure)) return true;
  return nobodys.status < 300 && others.status >= 400;
}

function shown({ status, failure }: Verdict): string {
  return `${status} ${failure}`.trim();
}

function verdict({ status, text, type }: RawAnswer): Verdict {
  if (status < 300 || !type.startsWith("application/json")) return { status, failure: "" };
  const { errors } = JSON.parse(text) as { errors: { code: number; meta?: { failure: string } }[] };
  return { status, failure: errors.map(({ meta, code }) => meta?.failure ?? code).join() };
}

interface Sent {
  readonly bytes: Uint8Array;
  readonly type: string;
}

async function bytesOf(body: unknown): Promise<Sent | undefined> {
  if (body === undefined) return undefined;
  const isWhole = body instanceof FormData || typeof body === "string";
  const response = new Response(isWhole ? body : JSON.stringify(body));
  const type = response.headers.get("content-type") ?? "";
  return { bytes: new Uint8Array(await response.arrayBuffer()), type };
}

/** What nobody else can guess. */
function idsOf(things: Things): readonly string[] {
  return Object.values(things).filter((value) => isId(value));
}

function isId(value: string): boolean {
  return /^[0-9a-f-]{20,}$/i.test(value);
}

function unknownLike(value: string): string {
  if (!isId(value)) return value.replace("victim", "nobody");
  return value
    .replaceAll(/[0-9a-f]/g, (digit) => ((Number.parseInt(digit, 16) + 5) % 16).toString(16))
    .replaceAll(/[A-F]/g, "0");
}

async function documented(api: string): Promise<Operation[]> {
  const document = (await (await fetch(`${api}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, DocumentedOperation>>;
  };
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      parameters: [...path.matchAll(/\{(\w+)\}/g)]
        .map(([, name]) => name ?? "")
        .filter((name) => name !== "account_id" && !shared.has(name)),
      queries: parameters.filter((each) => each.in === "query").map(({ name }) => name),
      fields: fieldsOf(requestBody?.content["application/json"]?.schema ?? {}),
    })),
  );
}

interface DocumentedOperation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  };
}

function fieldsOf(schema: JsonSchema): readonly string[] {
  const { properties = {}, items, anyOf = [], oneOf = [], additionalProperties } = schema;
  const below = [...Object.values(properties), ...anyOf, ...oneOf];
  if (items) below.push(items);
  if (typeof additionalProperties === "object") below.push(additionalProperties);
  return [...Object.keys(properties), ...below.flatMap(fieldsOf)];
}
