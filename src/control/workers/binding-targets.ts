import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";
import { IDENTITY } from "../../contract/identity.ts";
import { Failure } from "../../failures/failures.ts";
import { findCertificate } from "../../store/certificates/certificates.ts";
import { findHyperdrive } from "../../store/hyperdrive.ts";
import { findScript } from "../../store/workers/scripts.ts";
import type { Database } from "../../store/database.ts";
import { assertInProcess } from "./in-process.ts";
import { assertStored } from "./stored-targets.ts";
import { assertKept } from "./remote-classes.ts";
import { Refusals } from "./refusals.ts";

/**
 * Everything that bindings point to has to exist. This is checked in the transaction that also stores them.
 *
 * @throws Failure `binding_certificate_unknown`, `binding_certificate_is_authority`, `binding_service_unknown`,
 * `binding_hyperdrive_unknown`, `binding_resource_unknown`, `object_class_unconfigured`, `in_process_key_unsupported`,
 * `in_process_hosts_limited`
 */
export async function assertTargets(
  db: Database,
  key: ScriptKey,
  bindings: readonly WorkerBinding[],
): Promise<void> {
  const refusals = new Refusals();
  await refuseTargets(db, key, { bindings, refusals });
  refusals.throw();
}

/** Like `assertTargets`, but refusals are collected. */
export async function refuseTargets(
  db: Database,
  key: ScriptKey,
  { bindings, refusals }: { bindings: readonly WorkerBinding[]; refusals: Refusals },
): Promise<void> {
  for (const binding of bindings) await refusals.tryLater(() => assertTarget(db, key, binding));
}

async function assertTarget(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  binding: WorkerBinding,
): Promise<void> {
  if (binding.type === "mtls_certificate") {
    await assertCertificate(db, { accountId, scriptName }, binding);
  }
  if (binding.type === "hyperdrive") {
    if (await findHyperdrive(db, accountId, binding.databaseId)) return;
    throw new Failure("binding_hyperdrive_unknown", {
      message: `binding "${binding.name}" names the Hyperdrive configuration "${binding.databaseId.slice(0, 100)}", which was not found`,
      facts: { binding: binding.name, id: binding.databaseId },
    });
  }
  await assertStored(db, accountId, binding);
  await assertKept(db, accountId, binding);
  if (binding.type === "service" && binding.service !== scriptName) {
    if (await findScript(db, { accountId, scriptName: binding.service })) return;
    throw new Failure("binding_service_unknown", {
      message: `service binding "${binding.name}" names the Worker "${binding.service}", which was not found`,
      facts: { binding: binding.name, service: binding.service },
    });
  }
}

async function assertCertificate(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  { name, certificateId, mode }: WorkerBinding & { type: "mtls_certificate" },
): Promise<void> {
  if (certificateId === IDENTITY) {
    if (mode !== "in-process") return;
    throw new Failure("in_process_key_unsupported", {
      message: `binding "${name}" presents the Worker's identity, whose key stays in the gateway`,
      facts: { binding: name },
    });
  }
  const certificate = await findCertificate(db, accountId, certificateId);
  const facts = { binding: name, certificateId };
  if (!certificate) {
    throw new Failure("binding_certificate_unknown", {
      message: `binding "${name}" names the certificate "${certificateId}", which was not found`,
      facts,
    });
  }
  if (certificate.ca === 1) {
    throw new Failure("binding_certificate_is_authority", {
      message: `binding "${name}" names the CA "${certificateId}", which cannot be presented`,
      facts,
    });
  }
  if (mode === "in-process") {
    assertInProcess(certificate, `binding "${name}" of the Worker "${scriptName}"`);
  }
}
