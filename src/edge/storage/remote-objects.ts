import type {
  ObjectClass,
  RemoteObjects,
  WorkerBinding,
  WorkerVersion,
} from "../../contract/change-feed.ts";
import type { CapnpValue } from "../config/capnp.ts";

/** A binding of another Worker's class. */
export type RemoteClass = Extract<WorkerBinding, { type: "durable_object_namespace" }> & {
  readonly remote: RemoteObjects;
};

export function isRemote(binding: WorkerBinding): binding is RemoteClass {
  return binding.type === "durable_object_namespace" && binding.remote !== undefined;
}

/** The name of the door (a socket) at which a Worker's process lets other Workers reach the objects of one class. */
export function objectsDoor(namespaceId: string): string {
  return `${PREFIX}${namespaceId}`;
}

/** No entrypoint's name contains a space. */
const PREFIX = "objects ";

/** The class that a door of this Worker leads to. Null: the Worker does not have the class, or no longer has it. */
export function classBehind(
  door: string,
  { objects = [] }: Pick<WorkerVersion, "objects">,
): ObjectClass | null {
  return objects.find(({ namespaceId }) => objectsDoor(namespaceId) === door) ?? null;
}

/** Whether the class was deleted after another Worker bound it. */
export function leadsNowhere(door: string, version: Pick<WorkerVersion, "objects">): boolean {
  return door.startsWith(PREFIX) && classBehind(door, version) === null;
}

/** In the process that has the objects: the service that listens at the door. */
export function doorService({ className, namespaceId }: ObjectClass): CapnpValue {
  return {
    name: objectsDoor(namespaceId),
    worker: {
      modules: [{ name: "door", esModule: DOOR }],
      compatibilityDate: COMPATIBILITY_DATE,
      bindings: [{ name: "OBJECTS", durableObjectNamespace: { className, serviceName: "main" } }],
      globalOutbound: "probe",
    },
  };
}

/**
 * In the process of a Worker that binds them: stand-ins that store nothing and pass every call on. They have the same
 * ids, because ids depend on the namespace's key.
 * @param service leads to the door
 */
export function remoteService({ name, remote }: RemoteClass, service: string): CapnpValue {
  return {
    name: standIns(name),
    worker: {
      modules: [{ name: "remote", esModule: REMOTE }],
      compatibilityDate: COMPATIBILITY_DATE,
      bindings: [{ name: "DOOR", service }],
      durableObjectNamespaces: [{ className: STAND_IN, uniqueKey: remote.namespaceId }],
      durableObjectStorage: { inMemory: { enumerant: "void" } },
      globalOutbound: "probe",
    },
  };
}

export function remoteBinding({ name }: RemoteClass): Readonly<Record<string, CapnpValue>> {
  return { durableObjectNamespace: { className: STAND_IN, serviceName: standIns(name) } };
}

function standIns(bindingName: string): string {
  return `objects of ${bindingName}`;
}

const STAND_IN = "StandIn";
const COMPATIBILITY_DATE = "2026-11-01";

const REMOTE = `import { DurableObject } from "cloudflare:workers";
export class ${STAND_IN} extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    const { id } = ctx;
    const which = encodeURIComponent(
      JSON.stringify(id.name === undefined ? { id: id.toString() } : { name: id.name }),
    );
    const fetch = (request) => {
      const passed = new Request(request);
      passed.headers.set("cs-object", which);
      passed.headers.set("cs-url", request.url);
      return env.DOOR.fetch(passed);
    };
    return new Proxy(this, {
      get(target, key) {
        if (key === "fetch") return fetch;
        if (typeof key !== "string" || Reflect.has(target, key)) return Reflect.get(target, key);
        return env.DOOR["object " + which][key];
      },
    });
  }
}`;

const DOOR = `import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  constructor(ctx, env) {
    super(ctx, env);
    const { OBJECTS } = env;
    const find = (which) => {
      const { id, name } = JSON.parse(decodeURIComponent(which));
      return OBJECTS.get(name === undefined ? OBJECTS.idFromString(id) : OBJECTS.idFromName(name));
    };
    const fetch = (request) => {
      // The URL's scheme is lost on the way, so the URL is taken from a header.
      const passed = new Request(request.headers.get("cs-url"), request);
      passed.headers.delete("cs-object");
      passed.headers.delete("cs-url");
      return find(request.headers.get("cs-object")).fetch(passed);
    };
    return new Proxy(this, {
      get(target, key) {
        if (key === "fetch") return fetch;
        if (typeof key !== "string" || !key.startsWith("object ")) return Reflect.get(target, key);
        return find(key.slice("object ".length));
      },
    });
  }
}`;
