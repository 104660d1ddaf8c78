import { randomBytes } from "node:crypto";
import { z } from "@hono/zod-openapi";
import {
  type AssetContent,
  type AssetContents,
  bytesOnDisk,
  contentKey,
} from "../../../contract/assets.ts";
import { Failure } from "../../../failures/failures.ts";
import {
  findSession,
  insertSession,
  keepManifest,
  pruneManifests,
  readManifest,
} from "../../../store/workers/assets.ts";
import { sha256 } from "../../../store/workers/version-content.ts";
import { actorOf } from "../../api/auth.ts";
import { uncounted } from "../../api/body-shares.ts";
import { readChunks, readForm } from "../../api/body.ts";
import type { ControlContext } from "../../api/context.ts";
import { type Call, endpoint, type Endpoint } from "../../api/endpoint.ts";
import { assetHash, filesOf, largestAsset, manifest } from "./assets-manifest.ts";
import { KeyedLock } from "../keyed-lock.ts";
import { keyOf } from "../lookup.ts";

/** How long the files of an upload may be sent and deployed, ms. */
const SESSION_MS = 60 * 60_000;
/** Uploads that an account may have under way; a new one displaces the oldest. */
const MOST_SESSIONS = 10;
/** Bytes of a manifest: enough for the most files with long paths. */
const LARGEST_MANIFEST = 8 * 1024 * 1024;
/** One request with several files: bytes before base64, and number of files. */
const BUCKET = { bytes: 8 * 1024 * 1024, files: 200 };
/** Bytes of such a request. */
const LARGEST_FORM = Math.ceil(largestAsset * 1.4);
/** Files that wrangler sends at once; each is streamed to the disk. */
const CONCURRENCY = 8;

/**
 * The upload of static assets: a session takes the list of all files and answers which are missing. Those are sent with
 * the session's own token, which then goes into the script's metadata.
 */
export function assetEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock, limits } = context;
  const account = "/accounts/{account_id}/workers";
  const lock = new KeyedLock();
  const forms = new KeyedLock();
  const recent = new Map<string, ReadonlyMap<string, AssetContent>>();
  return [
    endpoint(
      {
        method: "post",
        path: `${account}/scripts/{script_name}/assets-upload-session`,
        summary: "Begin an upload of static assets",
        scope: "workers_scripts:write",
        body: z.object({ manifest }),
        bodyLimit: LARGEST_MANIFEST,
      },
      (call) => {
        const { accountId, scriptName } = keyOf(call);
        const files = filesOf(call.body.manifest);
        // Under the lock, so that existing files are not removed before the session refers to them.
        return lock.run(accountId, async () => {
          const contents = contentsOf(context);
          await removeUnused(context, accountId);
          const missing = unique(await contents.missing(accountId, files));
          const more = missing.reduce((sum, { size }) => sum + bytesOnDisk(size), 0);
          if ((await contents.bytes(accountId)) + more > limits.assets) {
            throw new Failure("assets_too_large", {
              message: `the account's static assets would take more than ${limits.assets / 1024 / 1024} MiB`,
              facts: { limitBytes: limits.assets },
            });
          }
          const expires = new Date(clock().getTime() + SESSION_MS);
          const jwt = tokenUntil(expires, clock());
          await store.write(async ({ db }) => {
            const manifestId = await keepManifest(db, accountId, files);
            const session = { accountId, scriptName, manifestId, expiresOn: expires.toISOString() };
            await insertSession(db, { tokenHash: sha256(jwt), ...session }, MOST_SESSIONS);
            return {
              value: null,
              audit: {
                by: actorOf(call.caller),
                action: "assets.upload",
                accountId,
                resource: { type: "script", id: scriptName, name: scriptName },
                after: { files: files.length, missing: missing.length },
              },
            };
          });
          return { result: { jwt, buckets: bucketsOf(missing) } };
        });
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${account}/assets/upload`,
        summary: "Upload static assets, each a part named by its hash, in base64",
        scope: null,
        sessionToken: true,
        query: z.object({ base64: z.string().optional() }),
      },
      async (call) => {
        const { accountId, jwt, files } = await sessionOf(context, call, recent);
        if (call.query.base64 !== "true") {
          throw new Failure("request_invalid", {
            message: "files are sent here with `?base64=true`",
          });
        }
        const contents = contentsOf(context);
        // Such a form is held in memory whole, so one of an account's at a time is read.
        await forms.run(accountId, async () => {
          const form = await readForm(call.request, { limit: LARGEST_FORM, held: call.held });
          for (const [hash, part] of form) {
            const file = announced(files, hash);
            const bytes = Buffer.from(
              typeof part === "string" ? part : await part.text(),
              "base64",
            );
            await contents.put(accountId, file, chunk(bytes), limits.assets);
          }
        });
        return { result: { jwt }, status: 201 };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${account}/assets/upload/{asset_hash}`,
        summary: "Upload one static asset as it is",
        scope: null,
        sessionToken: true,
      },
      async (call) => {
        const { accountId, jwt, files } = await sessionOf(context, call, recent);
        const file = announced(files, call.params["asset_hash"] ?? "");
        const content = readChunks(call.request, null, { limit: largestAsset, held: uncounted });
        await contentsOf(context).put(accountId, file, content, limits.assets);
        return { result: { jwt }, status: 201 };
      },
    ),
  ];
}

/** Removes files that no version and no upload of the account needs any more. */
async function removeUnused(context: ControlContext, accountId: string): Promise<void> {
  const { store, clock } = context;
  const left = await store.housekeep(({ db }) => pruneManifests(db, accountId, clock()));
  const keys = new Set<string>();
  for (const id of left) {
    for (const file of await readManifest(store.db, accountId, id)) keys.add(contentKey(file));
  }
  await contentsOf(context).keepOnly(accountId, keys);
}

interface Session {
  readonly accountId: string;
  readonly jwt: string;
  readonly files: ReadonlyMap<string, AssetContent>;
}

/** @throws Failure `assets_session_unknown` */
async function sessionOf(
  { store, clock }: ControlContext,
  { request, params }: Pick<Call<unknown, unknown>, "request" | "params">,
  recent: Map<string, ReadonlyMap<string, AssetContent>>,
): Promise<Session> {
  const [, jwt = ""] =
    /^bearer ([\x21-\x7e]{1,4096})$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  const session = await findSession(store.db, jwt);
  const accountId = params["account_id"] ?? "";
  if (session?.accountId !== accountId || new Date(session.expiresOn) <= clock()) {
    throw new Failure("assets_session_unknown");
  }
  const { manifestId } = session;
  let files = recent.get(manifestId);
  if (files === undefined) {
    const read = await readManifest(store.db, accountId, manifestId);
    files = new Map(read.map((file) => [file.hash, file]));
    recent.set(manifestId, files);
    for (const old of [...recent.keys()].slice(0, -MOST_RECENT)) recent.delete(old);
  }
  return { accountId, jwt, files };
}

/** Manifests that are kept in memory, because each of their files is a separate request. */
const MOST_RECENT = 4;

function announced(files: ReadonlyMap<string, AssetContent>, hash: string): AssetContent {
  const file = files.get(hash);
  if (file !== undefined) return file;
  const named = assetHash.safeParse(hash).success ? ` ${hash}` : "";
  throw new Failure("asset_unexpected", {
    message: `a static asset${named} is not one of those that were announced`,
  });
}

function contentsOf({ edge }: ControlContext): AssetContents {
  if (edge.assets === undefined) throw new Failure("storage_unavailable");
  return edge.assets;
}

/**
 * A token in the form of a JWT, because clients read its `exp`. It is looked up when it comes back, so its third part
 * is a random secret and not a signature.
 */
function tokenUntil(expires: Date, now: Date): string {
  const claims = {
    exp: Math.floor(expires.getTime() / 1000),
    iat: Math.floor(now.getTime() / 1000),
    // Each file is a separate request, which is written to the disk while it arrives.
    wrangler_single_asset_uploads: true,
    edge_kv_upload_concurrency: CONCURRENCY,
  };
  const secret = randomBytes(32).toString("base64url");
  return [encoded({ typ: "JWT", alg: "none" }), encoded(claims), secret].join(".");
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function unique(files: readonly AssetContent[]): readonly AssetContent[] {
  return [...new Map(files.map((file) => [file.hash, file])).values()];
}

function bucketsOf(files: readonly AssetContent[]): readonly string[][] {
  const buckets: string[][] = [];
  let bytes = 0;
  for (const { hash, size } of files) {
    const last = buckets.at(-1);
    const fits = last !== undefined && last.length < BUCKET.files && bytes + size <= BUCKET.bytes;
    if (fits) last.push(hash);
    else buckets.push([hash]);
    bytes = fits ? bytes + size : size;
  }
  return buckets;
}

async function* chunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
