/** The ingress process: it accepts the clients' connections. Its supervisor talks to it over IPC. */
import type { FailureCode } from "../failures/failures.ts";
import type { ServedCertificate } from "../contract/hosts.ts";
import { closeMemory } from "../process/closed-memory.ts";
import { serve } from "../process/serve.ts";
import { Ingress } from "./ingress.ts";
import type { AskedOfSupervisor, HowEnded, IngressMethods } from "./protocol.ts";

// What passes through it is the business of others.
closeMemory();
const ingress = new Ingress(
  {
    howEnded: async (socket) => (await ask({ ended: socket })) as HowEnded,
    wake: async (socket) => (await ask({ wake: socket })) === true,
    preview: async (key) => (await ask({ preview: key })) as FailureCode | null,
    localLeaf: async (name) => (await ask({ leaf: name })) as ServedCertificate | null,
  },
  // As pino writes a warning: the supervisor puts it into the platform's log.
  (msg) => void process.stdout.write(`${JSON.stringify({ level: 40, msg })}\n`),
  (events) => supervisor.event(events),
);

const ask = (asked: AskedOfSupervisor): Promise<unknown> => supervisor.ask(asked);

const supervisor = serve({
  call: (method, args) => {
    const apply = ingress[method as keyof IngressMethods] as (...args: unknown[]) => unknown;
    return apply.apply(ingress, [...args]);
  },
  stop: () => ingress.drain(),
  abandon: () => ingress.abandon(),
});
