import assert from "node:assert/strict";
import type { TestPlatform } from "./platform.ts";
import { until } from "./until.ts";

export interface InstanceStatus {
  readonly status?: string;
  readonly output?: { readonly ran: readonly string[]; readonly version: number } | null;
  readonly failed?: string;
}

/** `middle` is the code between the Workflow's first step and its end. */
export const order = (middle = "", className = "Order"): string => `
import { WorkflowEntrypoint } from "cloudflare:workers";
export class ${className} extends WorkflowEntrypoint {
  async run({ payload, instanceId, workflowName }, step) {
    const ran = await step.do("first", async () => [payload.of ?? null, instanceId, workflowName, crypto.randomUUID()]);
    ${middle}
    return { ran, version: VERSION };
  }
}
const VERSION = 1;
export default {
  async fetch(request, env) {
    const [id, method] = new URL(request.url).pathname.slice(1).split("/");
    try {
      if (method === "create") await env.ORDERS.create({ id, params: { of: "books" } });
      const instance = await env.ORDERS.get(id);
      if (method === "event") await instance.sendEvent({ type: "paid", payload: { by: "card" } });
      else if (method !== "create" && method !== "status") await instance[method]();
      return Response.json(await instance.status());
    } catch (error) {
      return Response.json({ failed: error.message });
    }
  },
};`;

export const project = (
  name: string,
  code: string = order(),
  workflow: object = {},
): Record<string, string | object> => ({
  "wrangler.jsonc": {
    name,
    main: "index.js",
    compatibility_date: "2026-11-01",
    workflows: [{ name: `${name}-orders`, binding: "ORDERS", class_name: "Order", ...workflow }],
  },
  "index.js": code,
});

export interface WorkflowsClient {
  /** What the Worker of `order` answers. */
  ask(this: void, script: string, path: string): Promise<InstanceStatus>;
  becomes(this: void, script: string, id: string, status: string): Promise<InstanceStatus>;
  /** The path of the API. */
  instances(this: void, script: string, rest?: string): string;
  reaches(this: void, script: string, id: string, step: string): Promise<void>;
}

/** @param platform which runs now */
export function workflowsOf(platform: () => TestPlatform): WorkflowsClient {
  const ask = async (script: string, path: string): Promise<InstanceStatus> => {
    const answer = await platform().worker(script, `/${path}`);
    assert.equal(answer.status, 200, `${answer.body} ${platform().log()}`);
    return JSON.parse(answer.body) as InstanceStatus;
  };
  const becomes = async (script: string, id: string, status: string): Promise<InstanceStatus> => {
    let told: InstanceStatus = {};
    await until(async () => {
      told = await ask(script, `${id}/status`);
      return told.status === status;
    });
    return told;
  };
  const instances = (script: string, rest = ""): string =>
    `/accounts/${platform().ready.accountId}/workflows/${script}-orders/instances${rest}`;

  const reaches = (script: string, id: string, step: string): Promise<void> =>
    until(async () => {
      const { json } = await platform().api("GET", instances(script, `/${id}`));
      return json.result.steps.some(({ name }: { name: string }) => name === step);
    });
  return { ask, becomes, instances, reaches };
}
