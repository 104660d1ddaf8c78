import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { createServer } from "node:http";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { EdgeStatus, WorkerStatus } from "../contract/edge.ts";
import { Failure } from "../failures/failures.ts";
import { diskFailure } from "../failures/of-storage.ts";
import type { HostFolders } from "./host-folders.ts";
import type { FolderSources } from "./watched-folders.ts";
import { listenInside } from "../process/folder-socket.ts";
import type { MasterKeys } from "./master-key-change.ts";
import type { LocalBinding, WantedCertificate } from "./local-binding.ts";
import { parseMasterKey } from "../keys/master-key.ts";

/**
 * The calls of the CLI to the platform on this machine, over a socket in the data folder. A user
 * who can open the socket owns the folder, and so the master key and the database. Therefore no
 * token is needed.
 */
export interface AdminOperations {
  info(): PlatformInfo;
  /** PEM: the CA of this machine's own names. */
  readonly localAuthority: string;
  status(): Promise<PlatformStatus>;
  /** The v4 API, as it is served over the network, but reached without a proxy or a certificate. */
  api(request: Request, bindings: unknown): Response | Promise<Response>;
  /** Tokens, people, accounts and the audit log: `platform/access/`. */
  readonly access: readonly Hono[];
  openBinding(wanted: WantedCertificate): Promise<LocalBinding | null>;
  readonly folders: Pick<FolderSources, "watch" | "unwatch">;
  readonly hostFolders: Pick<HostFolders, "follow">;
  readonly keys: Pick<MasterKeys, "status" | "change" | "abandonDamaged">;
}

export interface PlatformInfo {
  /** `http://127.0.0.1:4400/client/v4` */
  readonly api: string;
  /** `http://127.0.0.1:4480`: where Workers answer. */
  readonly http: string;
  /** `https://127.0.0.1:4443`. Null: there is no TLS. */
  readonly https: string | null;
  /**
   * File with the PEM of the CA that programs have to trust for the API. Null: the API presents no certificate of our
   * CA.
   */
  readonly authorityFile: string | null;
  readonly accountId: string;
  readonly pid: number;
}

export interface PlatformStatus extends Omit<EdgeStatus, "workers"> {
  /** `urls`: names below `localhost` at the ingress, then a Worker's own ports and sockets (`unix:/path`). */
  readonly workers: readonly (WorkerStatus & { readonly urls: readonly string[] })[];
  readonly certificates: readonly CertificateStatus[];
  /** The certificates that hosts of the ingress present, each with its expiry (ISO 8601). */
  readonly hostCertificates: readonly {
    readonly hosts: readonly string[];
    readonly expiresOn: string;
    readonly source: "upload" | "folder" | "acme";
    /** Why it was not renewed from its folder or by ACME. Null: nothing failed. */
    readonly failure: string | null;
  }[];
  /** Certificates that a host's or zone's origin is shown by origin pulls, and that somebody has to renew. */
  readonly originPulls: readonly {
    readonly names: readonly string[];
    readonly expiresOn: string;
  }[];
  /** Lists with a problem. */
  readonly revocationLists: readonly {
    readonly id: string;
    readonly url: string | null;
    readonly issuer: string;
    readonly warning: string;
  }[];
  /** Hosts of origins that may choose an old cipher suite. */
  readonly unsafeOldTls: readonly string[];
}

export interface CertificateStatus {
  readonly accountId: string;
  readonly id: string;
  readonly name: string | null;
  /** ISO 8601. */
  readonly expiresOn: string;
  /** Warnings of the upload that still apply. */
  readonly warnings: readonly string[];
}

export async function startAdmin(
  dataFolder: string,
  operations: AdminOperations,
): Promise<AsyncDisposable> {
  const listener = getRequestListener(adminApp(operations).fetch);
  const server = createServer((request, response) => void listener(request, response));
  await listenInside(server, dataFolder, "admin.sock");
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          rmSync(join(dataFolder, "admin.sock"), { force: true });
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function adminApp(operations: AdminOperations): Hono {
  const pair = z.object({ certificate: z.string().min(1), key: z.string().min(1) });
  const newFolder = z.object({
    accountId: z.string(),
    folder: z.string().min(1),
    names: pair.optional(),
  });
  const wantedCertificate = z.object({ id: z.string().optional(), name: z.string().optional() });
  const newKey = z.object({ key: z.string().optional() });
  const app = new Hono()
    .get("/", (context) => context.json(operations.info()))
    .all("/client/v4/*", (context) => operations.api(context.req.raw, context.env))
    .get("/local-authority", (context) => context.json({ certificate: operations.localAuthority }))
    .get("/status", async (context) => context.json(await operations.status()))
    .post("/bindings", async (context) => {
      const wanted = wantedCertificate.parse(await context.req.json());
      return context.json(await operations.openBinding(wanted));
    })
    .get("/keys", (context) => context.json(operations.keys.status()))
    .post("/keys/change", async (context) => {
      const { key } = newKey.parse(await context.req.json());
      const bytes = key === undefined ? undefined : parseMasterKey(key, "the new key");
      return context.json(await operations.keys.change(bytes));
    })
    .post("/keys/abandon-damaged", async (context) =>
      context.json(await operations.keys.abandonDamaged()),
    )
    .put("/folders/:certificate", async (context) => {
      const { accountId, folder, names } = newFolder.parse(await context.req.json());
      const certificateId = context.req.param("certificate");
      await operations.folders.watch({
        accountId,
        certificateId,
        folder,
        ...(names && { names }),
      });
      return context.json({});
    })
    .put("/host-folders/:host", async (context) => {
      const { accountId, folder } = newFolder.parse(await context.req.json());
      const host = context.req.param("host");
      return context.json(await operations.hostFolders.follow({ accountId, host, folder }));
    })
    .delete("/folders/:certificate", async (context) =>
      context.json({ watched: await operations.folders.unwatch(context.req.param("certificate")) }),
    );
  for (const part of operations.access) app.route("/", part);
  return app.onError((error, context) => {
    const { code, message, fix, facts, entry } =
      error instanceof Failure ? error : asFailure(error);
    return context.json({ error: { code, message, fix, facts } }, entry.status as 400);
  });
}

function asFailure(error: Error): Failure {
  if (!(error instanceof z.ZodError)) {
    return (
      diskFailure(error, "the data folder") ??
      new Failure("internal", { message: error.message, cause: error })
    );
  }
  const [issue] = error.issues;
  return new Failure("usage", {
    message: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not understood"}`,
  });
}
