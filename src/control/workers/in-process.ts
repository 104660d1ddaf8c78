import { worksInProcess } from "../../certificates/key-kinds.ts";
import type { WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import { inProcessBindings, withModes } from "../../store/workers/binding-modes.ts";
import type { StoredDeployment } from "../../store/workers/deployments.ts";
import type { ScriptRow } from "../../store/schema.ts";
import { findVersion } from "../../store/workers/versions.ts";
import { scriptsInProcess } from "../../store/hosts/associations.ts";
import type { StoredCertificate } from "../../store/certificates/certificates.ts";
import type { Database } from "../../store/database.ts";

type Wanted = Pick<StoredCertificate, "accountId" | "id" | "allowedHosts"> & {
  readonly active: Pick<StoredCertificate["active"], "keyKind" | "version">;
};

/**
 * Refuses certificates that workerd's own TLS cannot handle.
 * @param who the binding, in words: `binding "CERT" of the Worker "shop"`
 * @throws Failure `in_process_key_unsupported`, `in_process_hosts_limited`
 */
export function assertInProcess({ id, allowedHosts, active }: Wanted, who: string): void {
  const facts = { certificateId: id, version: active.version, key: active.keyKind };
  if (!worksInProcess(active.keyKind)) {
    throw new Failure("in_process_key_unsupported", {
      message: `${who} is in-process, which cannot present version ${active.version} of certificate ${id}: its key is ${active.keyKind}`,
      facts,
    });
  }
  if (allowedHosts !== null) {
    throw new Failure("in_process_hosts_limited", {
      message: `${who} is in-process, where certificate ${id} cannot be kept to its allowed hosts`,
      facts,
    });
  }
}

/**
 * Refuses a change of a certificate that in-process bindings could not follow.
 * @throws as `assertInProcess`
 */
export async function assertStillInProcess(db: Database, certificate: Wanted): Promise<void> {
  const [script] = await scriptsInProcess(db, certificate.accountId, certificate.id);
  if (script !== undefined) assertInProcess(certificate, `a binding of the Worker "${script}"`);
}

/**
 * Refuses to hand a private key to a Worker's process if the caller may not manage keys, unless the Worker's process
 * has that key already.
 * @param bindings of the version that would run
 * @throws Failure `in_process_not_permitted`
 */
export async function assertMayTakeKeys(
  db: Database,
  {
    script,
    current,
  }: { readonly script: ScriptRow | null; readonly current: StoredDeployment | null },
  bindings: readonly WorkerBinding[],
  { ownsKeys }: { readonly ownsKeys: boolean },
): Promise<void> {
  const taken = inProcess(bindings);
  if (ownsKeys || taken.length === 0) return;
  const there = new Set<string>();
  for (const { versionId } of current?.versions ?? []) {
    const version = script && (await findVersion(db, script.id, versionId));
    if (!version) continue;
    const key = { accountId: script.accountId, scriptName: script.name };
    const running = withModes(version.bindings, await inProcessBindings(db, key));
    for (const { certificateId } of inProcess(running)) there.add(certificateId);
  }
  const beyond = taken.find(({ certificateId }) => !there.has(certificateId));
  if (beyond === undefined) return;
  throw new Failure("in_process_not_permitted", {
    message: `binding "${beyond.name}" is in-process, and the token may not hand the key of certificate ${beyond.certificateId} to the Worker`,
    facts: { binding: beyond.name, certificateId: beyond.certificateId, scope: "ssl_certs:write" },
  });
}

type CertificateBinding = WorkerBinding & { readonly type: "mtls_certificate" };

function inProcess(bindings: readonly WorkerBinding[]): CertificateBinding[] {
  return bindings.filter(
    (binding): binding is CertificateBinding =>
      binding.type === "mtls_certificate" && binding.mode === "in-process",
  );
}
