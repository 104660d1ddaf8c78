// Miniflare's bucket, which can be deleted here: all that it keeps, objects and unfinished uploads alike.
import { R2BucketObject as Bundled } from "../r2.js";

export class R2BucketObject extends Bundled {
  async fetch(request) {
    // What a Worker sends has no say in this: the router sets it.
    if (request.cf?.countersign?.destroys !== true) return super.fetch(request);
    await this.state.storage.deleteAll();
    await this.state.storage.sync();
    // Its tables are made as it starts.
    return this.state.abort("it was emptied");
  }
}
