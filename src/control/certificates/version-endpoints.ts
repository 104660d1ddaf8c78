import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { endpoint, keyEndpoint } from "../api/endpoint.ts";
import { Failure } from "../../failures/failures.ts";
import { listCertificateVersions } from "../../store/certificates/certificate-versions.ts";
import {
  countCertificates,
  listCertificates,
  updateCertificate,
} from "../../store/certificates/certificates.ts";
import { list, pageOfList } from "../api/envelope.ts";
import { certificateFilterOf, certificateQuery } from "./certificate-query.ts";
import { certificateChange, existingCertificate, judgeUpload } from "./certificate-intake.ts";
import { refuseTakenName } from "./certificates.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { hostPattern } from "../../network/host-pattern.ts";
import { assertStillInProcess } from "../workers/in-process.ts";
import {
  activateVersion,
  addVersion,
  existingCertificateVersion,
  revoke,
  rollBack,
} from "./certificate-versions.ts";
import { shownCertificate, shownCertificateVersion, surroundings } from "./version-shown.ts";
import { pem } from "../api/bounds.ts";
import { oneLine } from "../api/text.ts";
import { refuseAuthority } from "./trust.ts";

const newVersion = z.object({
  certificates: pem,
  private_key: pem.nullish(),
  allow_expired: z.boolean().default(false),
  /** False: the version is only stored, to be activated later. */
  activate: z.boolean().default(true),
});

const settings = z.object({
  name: oneLine.trim().min(1).max(255).nullable().optional(),
  /** Null: any host. */
  allowed_hosts: z.array(hostPattern).max(100).nullable().optional(),
});

const activation = z.object({ allow_expired: z.boolean().default(false) });
const revocation = z.object({ version: z.int().positive().optional() });
const handshake = z.object({ url: z.string().max(2048) });

/** What Cloudflare's API lacks: versions of a certificate under one id, and a certificate's settings. */
export function rotationEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock, edge } = context;
  const path = "/accounts/{account_id}/countersign/certificates";
  const one = `${path}/{certificate_id}`;
  const read = { scope: "ssl_certs:read" } as const;
  const change = { scope: "ssl_certs:write" } as const;
  const show = async (accountId: string, id: string): Promise<object> => {
    const certificate = await existingCertificate(store.db, accountId, id);
    const around = await surroundings(store.db, accountId);
    const { chain } = certificate.active;
    return { ...shownCertificate(certificate, around, clock()), certificates: chain };
  };
  return [
    endpoint(
      {
        ...read,
        method: "get",
        path,
        summary: "List certificates and CAs, with everything that is known of them",
        query: certificateQuery,
      },
      async ({ caller: { accountId }, query, window }) => {
        const wanted = certificateFilterOf(query);
        const certificates = await listCertificates(store.db, accountId, { ...wanted, window });
        const around = await surroundings(store.db, accountId);
        const now = clock();
        return pageOfList(
          certificates.map((certificate) => shownCertificate(certificate, around, now)),
          await countCertificates(store.db, accountId, wanted),
        );
      },
    ),
    endpoint(
      { ...read, method: "get", path: one, summary: "Everything known of one certificate" },
      async (call) => ({ result: await show(...idOf(call)) }),
    ),
    endpoint(
      {
        ...change,
        method: "patch",
        path: one,
        summary: "Name a certificate, or say which hosts it may be presented to",
        body: settings,
      },
      async (call) => {
        const [accountId, id] = idOf(call);
        const { name, allowed_hosts: hosts } = call.body;
        await applyChange({ store, edge }, async ({ db, changed }) => {
          const certificate = await existingCertificate(db, accountId, id);
          if (hosts !== undefined) refuseAuthority(certificate);
          if (hosts) {
            await assertStillInProcess(db, { ...certificate, allowedHosts: hosts });
          }
          if (name !== undefined) await refuseTakenName(db, { ...certificate, name });
          await updateCertificate(db, id, {
            ...(name !== undefined && { name }),
            ...(hosts !== undefined && { allowedHosts: hosts }),
            updatedOn: clock().toISOString(),
          });
          if (certificate.ca === 0) await changed(certificateChange(certificate));
          return {
            value: null,
            audit: {
              by: actorOf(call.caller),
              action: "certificate.settings",
              accountId,
              resource: {
                type: certificate.ca === 1 ? "authority" : "certificate",
                id,
                name: certificate.name,
              },
              fingerprint: certificate.active.fingerprint,
              before: { name: certificate.name, allowedHosts: certificate.allowedHosts },
              after: call.body,
            },
          };
        });
        return { result: await show(accountId, id) };
      },
    ),
    endpoint(
      { ...read, method: "get", path: `${one}/versions`, summary: "The versions, newest first" },
      async (call) => {
        const certificate = await existingCertificate(store.db, ...idOf(call));
        const versions = await listCertificateVersions(store.db, certificate.id);
        const now = clock();
        return list(
          versions.map((version) =>
            shownCertificateVersion(version, certificate.activeVersion, now),
          ),
        );
      },
    ),
    keyEndpoint(
      {
        ...change,
        method: "post",
        path: `${one}/versions`,
        summary: "Add a version, which is presented from now on",
        body: newVersion,
      },
      async (call) => {
        const [accountId, certificateId] = idOf(call);
        const { ca } = await existingCertificate(store.db, accountId, certificateId);
        const parsed = await judgeUpload(context, accountId, {
          upload: call.upload,
          ca: ca === 1,
          allowExpired: call.body.allow_expired,
        });
        const { activate } = call.body;
        const target = { accountId, certificateId, by: actorOf(call.caller) };
        const { certificate, version } = await addVersion(context, target, parsed, { activate });
        return {
          result: shownCertificateVersion(version, certificate.activeVersion, clock()),
          messages: parsed.warnings.map(({ message }) => message),
        };
      },
    ),
    endpoint(
      { ...read, method: "get", path: `${one}/versions/{version}`, summary: "One version" },
      async (call) => {
        const certificate = await existingCertificate(store.db, ...idOf(call));
        const version = await existingCertificateVersion(store, certificate, numberOf(call));
        return { result: shownCertificateVersion(version, certificate.activeVersion, clock()) };
      },
    ),
    endpoint(
      {
        ...change,
        method: "post",
        path: `${one}/versions/{version}/activate`,
        summary: "Present this version from now on",
        body: activation,
      },
      async (call) => {
        const [accountId, certificateId] = idOf(call);
        const target = { accountId, certificateId, by: actorOf(call.caller) };
        const options = { allowExpired: call.body.allow_expired };
        const { version } = await activateVersion(context, target, numberOf(call), options);
        return { result: shownCertificateVersion(version, version.version, clock()) };
      },
    ),
    endpoint(
      {
        ...change,
        method: "post",
        path: `${one}/rollback`,
        summary: "Present the version that was in force before again",
      },
      async (call) => {
        const [accountId, certificateId] = idOf(call);
        const { version } = await rollBack(context, {
          accountId,
          certificateId,
          by: actorOf(call.caller),
        });
        return { result: shownCertificateVersion(version, version.version, clock()) };
      },
    ),
    endpoint(
      {
        ...change,
        method: "post",
        path: `${one}/revoke`,
        summary: "Never present a version, or any there is, again, and cut its connections",
        body: revocation,
      },
      async (call) => {
        const [accountId, certificateId] = idOf(call);
        const target = { accountId, certificateId, by: actorOf(call.caller) };
        const { certificate, revoked } = await revoke(context, target, call.body.version);
        return {
          result: {
            id: certificate.id,
            revoked,
            presented: certificate.active.revokedOn === null ? certificate.activeVersion : null,
          },
        };
      },
    ),
    endpoint(
      {
        ...change,
        method: "post",
        path: `${one}/test`,
        summary: "Make one handshake with an origin, and say step by step how it went",
        body: handshake,
      },
      async (call) => {
        const certificate = await existingCertificate(store.db, ...idOf(call));
        refuseAuthority(certificate);
        const { accountId, id } = certificate;
        const { signal } = call.request;
        return { result: await edge.testHandshake(accountId, id, call.body.url, signal) };
      },
    ),
  ];
}

interface CertificateCall {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

function idOf({ caller, params }: CertificateCall): readonly [accountId: string, id: string] {
  return [caller.accountId, params["certificate_id"] ?? ""];
}

/** @throws Failure `certificate_version_not_found` */
function numberOf({ params }: CertificateCall): number {
  const text = params["version"] ?? "";
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Failure("certificate_version_not_found", {
    message: `"${text.slice(0, 20)}" is not the number of a version`,
  });
}
