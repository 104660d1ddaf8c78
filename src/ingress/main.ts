/** The ingress process: it accepts the clients' connections. Its supervisor talks to it over IPC. */
import { closeMemory } from "../process/closed-memory.ts";
import { serve } from "../process/serve.ts";
import { Ingress } from "./ingress.ts";
import type { IngressMethods } from "./protocol.ts";

// What passes through it is others' business.
closeMemory();
const ingress = new Ingress();

serve({
  call: (method, args) => {
    const apply = ingress[method as keyof IngressMethods] as (...args: unknown[]) => unknown;
    return apply.apply(ingress, [...args]);
  },
  stop: () => ingress.drain(),
  abandon: () => ingress.abandon(),
});
