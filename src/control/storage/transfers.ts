import { createHash, randomBytes } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { Failure } from "../../failures/failures.ts";
import { heldUntilSent } from "../api/body-shares.ts";
import { readPieces } from "../api/body.ts";
import type { ControlContext } from "../api/context.ts";
import { failure } from "../api/envelope.ts";

/** Bytes of one file. */
export const largestFile: number = 128 * 1024 * 1024;
/**
 * Files that are held at once, for each account and in all. A new file displaces the account's own oldest, or the
 * second one of an account that has two: one file of each is safe from others.
 */
const MOST_OF_ACCOUNT = 2;
const MOST = 6;
const LIFETIME = 10 * 60_000;

interface Transfer {
  readonly until: number;
  readonly accountId: string;
  /** Null: the file is not uploaded yet. */
  content: Uint8Array | null;
}

/**
 * Files on their way to and from databases. wrangler uploads and downloads them without its token, at a URL that it was
 * given: knowing the URL is the permission.
 */
export class Transfers {
  readonly #held = new Map<string, Transfer>();

  /**
   * @returns the part of the URL that cannot be guessed
   * @throws Failure `api_bytes_exhausted`: as many accounts as there is room for have a file here
   */
  open(accountId: string, content: Uint8Array | null): string {
    const now = Date.now();
    for (const [id, { until }] of this.#held) if (until < now) this.#held.delete(id);
    const all = [...this.#held];
    const of = (owner: string) => all.filter(([, transfer]) => transfer.accountId === owner);
    const own = of(accountId);
    if (own.length >= MOST_OF_ACCOUNT) this.#held.delete(own[0]![0]);
    else if (all.length >= MOST) {
      const second = all.find(([, one]) => of(one.accountId).length >= MOST_OF_ACCOUNT);
      if (second === undefined) {
        throw new Failure("api_bytes_exhausted", {
          message: `${MOST} other accounts have files on their way to or from D1`,
        });
      }
      this.#held.delete(second[0]);
    }
    const id = randomBytes(24).toString("base64url");
    this.#held.set(id, { accountId, content, until: now + LIFETIME });
    return id;
  }

  /** Returns an uploaded file, and no longer holds it. @throws Failure `transfer_gone` */
  take(id: string, accountId: string): Uint8Array {
    const transfer = this.#find(id);
    if (transfer.accountId !== accountId || transfer.content === null) throw gone();
    this.#held.delete(id);
    return transfer.content;
  }

  /** Serves these URLs. */
  app({ log, bodies }: Pick<ControlContext, "log" | "bodies">): Hono {
    const app = new Hono().basePath(`/client/v4${TRANSFERS}`);
    app.onError((error) => failure(error, log));
    app.put("/:id", async (c) => {
      const transfer = this.#find(c.req.param("id"));
      using held = bodies.open(transfer.accountId);
      // Hashed as it comes: others would wait for the hash of a whole file.
      const md5 = createHash("md5");
      const chunks: Uint8Array[] = [];
      for await (const chunk of readPieces(c.req.raw, { limit: largestFile, held })) {
        md5.update(chunk);
        chunks.push(chunk);
      }
      transfer.content = Buffer.concat(chunks);
      return c.body(null, 200, { etag: `"${md5.digest("hex")}"` });
    });
    app.get("/:id", (c) => {
      const { content, accountId } = this.#find(c.req.param("id"));
      if (content === null) throw gone();
      // A request that came over no connection has no `env`.
      const { outgoing } = (c.env ?? {}) as Partial<HttpBindings>;
      heldUntilSent(bodies.open(accountId), content.byteLength, outgoing);
      return c.body(ReadableStream.from(pieces(content)), 200, {
        "content-type": "application/sql",
      });
    });
    return app;
  }

  #find(id: string): Transfer {
    const transfer = this.#held.get(id);
    if (transfer === undefined || transfer.until < Date.now()) throw gone();
    return transfer;
  }
}

/** As one body the file would be copied for each download. */
function* pieces(content: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < content.byteLength; at += PIECE) yield content.slice(at, at + PIECE);
}

const PIECE = 64 * 1024;

/** The path below the API's root. */
export const TRANSFERS = "/countersign/transfers";

function gone(): Failure {
  return new Failure("transfer_gone");
}
