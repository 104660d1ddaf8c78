// Miniflare's bucket, which can be deleted here: all that it keeps, objects and unfinished uploads alike.
// And it leaves no file behind of an upload that came to nothing. Miniflare forgets the file if the sender
// leaves, for the request never ends then, and if the checksum is another: anybody whom a Worker lets
// upload could fill the disk.
import { AsyncLocalStorage } from "node:async_hooks";
import { R2BucketObject as Bundled } from "../r2.js";

/** ms for a file that is written to become an object, or a part of one: it takes a turn or two. */
const PATIENCE = 1_000;

export class R2BucketObject extends Bundled {
  #files;
  /** Of the request under way: a promise of whether it ended well. */
  #request = new AsyncLocalStorage();

  constructor(state, env) {
    const fetch = (url, init) => this.#file(url, init);
    super(state, { ...env, MINIFLARE_BLOBS: { fetch } });
    this.#files = env.MINIFLARE_BLOBS;
  }

  async fetch(request) {
    // What a Worker sends has no say in this: the router sets it.
    if (request.cf?.countersign?.destroys !== true) return this.#served(request);
    await this.state.storage.deleteAll();
    await this.state.storage.sync();
    // Its tables are made as it starts.
    return this.state.abort("it was emptied");
  }

  async #served(request) {
    const { promise, resolve } = Promise.withResolvers();
    try {
      const response = await this.#request.run(promise, () => super.fetch(request));
      resolve(response.ok);
      return response;
    } finally {
      resolve(false);
    }
  }

  async #file(url, init) {
    if (init?.method !== "PUT") return this.#files.fetch(url, init);
    const endedWell = this.#request.getStore();
    const { readable, writable } = new IdentityTransformStream();
    const passed = init.body.pipeTo(writable, { preventCancel: true });
    // Its sender waits until the rest is read, and reads no answer before that.
    const read = passed.catch(() => init.body.pipeTo(new WritableStream())).catch(() => {});
    try {
      return await this.#files.fetch(url, { ...init, body: readable });
    } catch (error) {
      // As on a full disk.
      await read;
      throw error;
    } finally {
      const late = scheduler.wait(PATIENCE).then(() => false);
      const removed = Promise.race([endedWell, late]).then((isKept) =>
        isKept ? null : this.#files.fetch(url, { method: "DELETE" }),
      );
      this.state.waitUntil(removed);
    }
  }
}
