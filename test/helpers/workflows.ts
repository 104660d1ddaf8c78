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
