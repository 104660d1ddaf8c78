import type { CapnpValue } from "../config/capnp.ts";
import { bundled } from "./modules.ts";

/** ms without a call after which an instance that does nothing leaves the memory, and how often it is looked at. */
const IDLE = 3_000;
const LOOK = 1_000;
/** ms for which what `subscribe()` has given may be read. */
const SUBSCRIBED = 600_000;

/**
 * workerd's engine. It would keep every instance that was ever reached in memory, with three open files, until the
 * process ends: a thousand instances take 250 MB. Here, one that has ended, was removed or rests until a time that is far
 * leaves when nobody has called it for a while, as an idle Durable Object does. The next call or alarm makes it again.
 */
export function engineModules(): readonly CapnpValue[] {
  return [{ name: "routers/engine.js", esModule: MODULE }, bundled("workflows.js")];
}

/** The reason of a call that came when its instance left. It was not begun, as no instance leaves that has a call. */
const LEFT = "the instance has just left the memory";

/** Source of `patient(namespace)`: the namespace, whose instances are called again if they have just left. */
export const PATIENT: string = `
const patient = (namespace) => {
  const instance = (open) => new Proxy({}, {
    get: (_, method) => {
      if (method === "then" || typeof method === "symbol") return undefined;
      return async (...args) => {
        for (let tries = 1; ; tries++) {
          try {
            return await open()[method](...args);
          } catch (error) {
            if (tries === 5 || error?.message !== "${LEFT}") throw error;
          }
        }
      };
    },
  });
  return {
    idFromString: (id) => namespace.idFromString(id),
    idFromName: (name) => namespace.idFromName(name),
    get: (id) => instance(() => namespace.get(id)),
    getByName: (name) => instance(() => namespace.getByName(name)),
  };
};
`;

const MODULE = `import { Engine as Bundled, WorkflowBinding as Binding } from "./bundled/workflows.js";

export * from "./bundled/workflows.js";
${PATIENT}
export class WorkflowBinding extends Binding {
  constructor(ctx, env) {
    const found = Object.entries(env).map(([name, value]) => [
      name,
      name.startsWith("workflow:") ? patient(value) : value,
    ]);
    super(ctx, Object.fromEntries(found));
  }
}

const ENDED = new Set(["complete", "errored", "terminated"]);

export class Engine extends Bundled {
  #calls = 0;
  #until = Date.now() + ${IDLE};

  static {
    for (const name of Object.getOwnPropertyNames(Bundled.prototype)) {
      if (name === "constructor") continue;
      const call = Bundled.prototype[name];
      this.prototype[name] = async function (...args) {
        this.#calls++;
        try {
          return await call.apply(this, args);
        } finally {
          this.#calls--;
          const idle = Date.now() + (name === "subscribe" ? ${SUBSCRIBED} : ${IDLE});
          this.#until = Math.max(this.#until, idle);
        }
      };
    }
  }

  constructor(...args) {
    super(...args);
    this.#look();
  }

  #look() {
    setTimeout(async () => {
      if (this.#isIdle()) await this.ctx.storage.sync();
      if (this.#isIdle()) this.ctx.abort("${LEFT}");
      this.#look();
    }, ${LOOK});
  }

  #isIdle() {
    if (this.#calls > 0 || Date.now() < this.#until) return false;
    const instance = this.ctx.storage.kv.get("meta");
    return instance === undefined || ENDED.has(instance.status) || instance.dormant > Date.now() + ${IDLE};
  }
}
`;
