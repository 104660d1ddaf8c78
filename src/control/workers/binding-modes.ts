import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import type { BindingMode, ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import type { Actor } from "../../store/access/audit.ts";
import { inProcessBindings, setBindingMode, withModes } from "../../store/workers/binding-modes.ts";
import { currentDeployment } from "../../store/workers/deployments.ts";
import type { ScriptRow } from "../../store/schema.ts";
import type { Database } from "../../store/database.ts";
import {
  findVersion,
  newestVersion,
  workerVersion,
  type StoredVersion,
} from "../../store/workers/versions.ts";
import { list } from "../api/envelope.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import { permits } from "../api/scopes.ts";
import { assertTargets } from "./binding-targets.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { existingScript, keyOf } from "./lookup.ts";
import type { Publisher } from "./publisher.ts";

const chosen = z.object({ mode: z.enum(["gateway", "in-process"]) });

type CertificateBinding = WorkerBinding & { readonly type: "mtls_certificate" };

/**
 * Who makes the connections of each mTLS binding of a script: the gateway, or the Worker's process. Deploys do not
 * change it.
 */
export function bindingModeEndpoints(
  { store, edge, log, limits }: ControlContext,
  publisher: Publisher,
): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/scripts/{script_name}/bindings";
  const read = { scope: "workers_scripts:read", method: "get" } as const;
  return [
    endpoint({ ...read, path, summary: "The mTLS bindings of a script" }, async (call) => {
      const script = await existingScript(store.db, call);
      return list((await bindingsOf(store.db, script)).map(shown));
    }),
    endpoint(
      { ...read, path: `${path}/{binding}`, summary: "One mTLS binding of a script" },
      async (call) => {
        const script = await existingScript(store.db, call);
        return { result: shown(await existingBinding(store.db, script, call.params["binding"])) };
      },
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{binding}`,
        summary: "Say who makes the connections of an mTLS binding",
        scope: "workers_scripts:write",
        body: chosen,
      },
      async (call) => {
        const key = keyOf(call);
        if (call.body.mode === "in-process") assertOwnsKeys(call.caller, limits.inProcess);
        const binding = await publisher.exclusively(key, async () => {
          const script = await existingScript(store.db, call);
          const { name } = await existingBinding(store.db, script, call.params["binding"]);
          await set(script, key, { name, mode: call.body.mode, by: actorOf(call.caller) });
          return existingBinding(store.db, script, name);
        });
        return { result: shown(binding) };
      },
    ),
  ];

  /** If the new version does not start, or the certificate cannot be presented, nothing is changed. */
  async function set(
    script: ScriptRow,
    key: ScriptKey,
    { name, mode, by }: { name: string; mode: BindingMode; by: Actor },
  ): Promise<void> {
    const modes = new Set(await inProcessBindings(store.db, key));
    const before = modes.has(name) ? "in-process" : "gateway";
    if (mode === "in-process") modes.add(name);
    else modes.delete(name);
    const versions = await versionsInUse(store.db, script);
    const check = async (db: Database): Promise<void> => {
      if (mode === "gateway") return;
      for (const { bindings } of [...versions.deployed, ...versions.newest]) {
        const ours = bindings.filter((binding) => binding.name === name);
        await assertTargets(db, key, withModes(ours, modes));
      }
    };
    await check(store.db);
    try {
      for (const version of versions.deployed) {
        const next = await workerVersion(store.db, script, version);
        await edge.stage({ ...next, bindings: withModes(next.bindings, modes) });
      }
      await applyChange({ store, edge }, async ({ db, changed }) => {
        await check(db);
        await setBindingMode(db, script.id, name, mode);
        await changed({ kind: "script", ...key });
        return {
          value: null,
          audit: {
            by,
            action: "script.binding",
            accountId: key.accountId,
            resource: { type: "binding", id: `${script.id}/${name}`, name },
            before: { mode: before },
            after: { mode },
          },
        };
      });
    } catch (error) {
      for (const { id } of versions.deployed) {
        await edge.discard(id).catch((reason: unknown) => {
          log.error({ err: reason, versionId: id }, "a version could not be stopped");
        });
      }
      throw error;
    }
  }
}

/** Everybody who may change the Worker may put a binding back to the gateway. */
function assertOwnsKeys({ scopes }: Caller, isAllowed: boolean): void {
  if (!isAllowed) throw new Failure("in_process_forbidden");
  if (permits(scopes, "ssl_certs:write")) return;
  throw new Failure("in_process_not_permitted", { facts: { scope: "ssl_certs:write" } });
}

interface VersionsInUse {
  readonly deployed: readonly StoredVersion[];
  /** Only the newest version, if the script is not deployed. */
  readonly newest: readonly StoredVersion[];
}

async function versionsInUse(db: Database, { id }: ScriptRow): Promise<VersionsInUse> {
  const deployed: StoredVersion[] = [];
  for (const { versionId } of (await currentDeployment(db, id))?.versions ?? []) {
    const version = await findVersion(db, id, versionId);
    if (version) deployed.push(version);
  }
  const newest = await newestVersion(db, id);
  const isApart = newest !== null && !deployed.some((version) => version.id === newest.id);
  return { deployed, newest: isApart ? [newest] : [] };
}

/** The mTLS bindings of the deployed versions and of the newest one. */
async function bindingsOf(db: Database, script: ScriptRow): Promise<CertificateBinding[]> {
  const { accountId, name: scriptName } = script;
  const { deployed, newest } = await versionsInUse(db, script);
  const inProcess = await inProcessBindings(db, { accountId, scriptName });
  const byName = new Map<string, CertificateBinding>();
  for (const { bindings } of [...newest, ...deployed]) {
    for (const binding of withModes(bindings, inProcess)) {
      if (binding.type === "mtls_certificate") byName.set(binding.name, binding);
    }
  }
  return [...byName.values()];
}

/** @throws Failure `binding_not_found` */
async function existingBinding(
  db: Database,
  script: ScriptRow,
  name = "",
): Promise<CertificateBinding> {
  const bindings = await bindingsOf(db, script);
  const found = bindings.find((binding) => binding.name === name);
  if (found) return found;
  const names = bindings.map((binding) => `"${binding.name}"`).join(", ");
  throw new Failure("binding_not_found", {
    message: `the Worker "${script.name}" has no mTLS binding "${name.slice(0, 255)}", it has ${names || "none"}`,
  });
}

function shown({ name, certificateId, mode }: CertificateBinding): object {
  return { name, certificate_id: certificateId, mode: mode ?? "gateway" };
}
