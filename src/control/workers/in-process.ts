import { worksInProcess } from "../../certificates/key-kinds.ts";
import { Failure } from "../../failures/failures.ts";
import { scriptsInProcess } from "../../store/associations.ts";
import type { StoredCertificate } from "../../store/certificates.ts";
import type { Database } from "../../store/database.ts";

type Wanted = Pick<StoredCertificate, "accountId" | "id" | "allowedHosts"> & {
  readonly active: Pick<StoredCertificate["active"], "keyKind" | "version">;
};

/**
 * Refuses what workerd's own TLS cannot do with a certificate.
 * @param who presents it: `binding "CERT" of the Worker "shop"`
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
 * Refuses a change of a certificate that those who present it in-process could not follow.
 * @throws as `assertInProcess`
 */
export async function assertStillInProcess(db: Database, certificate: Wanted): Promise<void> {
  const [script] = await scriptsInProcess(db, certificate.accountId, certificate.id);
  if (script !== undefined) assertInProcess(certificate, `a binding of the Worker "${script}"`);
}
