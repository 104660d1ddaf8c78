import type { Client as UndiciClient, Dispatcher } from "undici";
import { Client } from "../../forward/undici.ts";
import { GuardedHandler } from "../../forward/guarded-handler.ts";
import type { Via } from "../../forward/patience.ts";

/** Of one connection: each request that it takes is told what it goes over. */
export class OriginClient extends Client {
  readonly #via: Via;

  constructor(origin: string | URL, options: UndiciClient.Options, via: Via) {
    super(origin, options);
    this.#via = via;
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    if (handler instanceof GuardedHandler) handler.via = this.#via;
    return super.dispatch(options, handler);
  }
}
