import { Ingress } from "./ingress.ts";
import type { IngressMethods } from "./protocol.ts";

const ingress = new Ingress();

type Request = {
  [M in keyof IngressMethods]: {
    readonly id: number;
    readonly method: M;
    readonly parameters: Parameters<IngressMethods[M]>[0];
  };
}[keyof IngressMethods];

process.on("message", (request: Request) => void answer(request));
// Without its supervisor nobody tells it what changes: the next one starts another.
process.on("disconnect", () => process.exit(0));
// Ctrl-C in a terminal reaches the whole group: the supervisor decides when this one ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => void ingress.drain().then(() => process.exit(0)));

async function answer({ id, method, parameters }: Request): Promise<void> {
  try {
    const call = ingress[method].bind(ingress) as (parameters: unknown) => unknown;
    process.send?.({ id, result: await call(parameters) });
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? error.message : String(error) });
  }
}
