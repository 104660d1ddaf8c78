import type { CertificateFacts } from "../certificates/certificate-upload.ts";
import type { StartedEdge } from "../edge/edge-options.ts";
import {
  findCertificate,
  listCertificates,
  type StoredCertificate,
} from "../store/certificates/certificates.ts";
import type { Store } from "../store/store.ts";

/** A certificate that the platform presents on behalf of a program on this machine. Its key stays here. */
export interface LocalBinding {
  readonly id: string;
  readonly name: string | null;
  readonly facts: CertificateFacts;
  /** Absolute. The socket takes HTTP with absolute URLs, and CONNECT. */
  readonly socketPath: string;
}

export interface WantedCertificate {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
}

/** Null: the account has no such client certificate. */
export async function openLocalBinding(
  wanted: WantedCertificate,
  { store, edge, accountId }: { store: Store; edge: StartedEdge; accountId: string },
): Promise<LocalBinding | null> {
  const certificate = await find(store, accountId, wanted);
  if (certificate === null || certificate.ca === 1) return null;
  const { id, name, active } = certificate;
  return {
    id,
    name,
    facts: {
      ...active,
      notBefore: new Date(active.notBefore),
      notAfter: new Date(active.notAfter),
      names: active.names,
      key: active.keyKind,
    },
    socketPath: await edge.openLocalBinding(accountId, id),
  };
}

async function find(
  store: Store,
  accountId: string,
  { id, name }: WantedCertificate,
): Promise<StoredCertificate | null> {
  if (id !== undefined) return findCertificate(store.db, accountId, id);
  if (name === undefined) return null;
  const [first] = await listCertificates(store.db, accountId, { ca: false, name });
  return first ?? null;
}
