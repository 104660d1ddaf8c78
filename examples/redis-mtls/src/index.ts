import { connectorTo, type ConnectBinding } from "countersign/stream";
import Redis from "ioredis";

interface Env {
  REDIS_CERT: ConnectBinding;
  /** `host:port` of a Redis with `tls-auth-clients yes`. */
  REDIS: string;
}

/** Counts visits in a Redis that accepts only clients with a certificate. */
export default {
  async fetch(_: Request, env: Env): Promise<Response> {
    const redis = new Redis({
      Connector: connectorTo(env.REDIS_CERT, env.REDIS),
      // A connection belongs to one request, so it is not reconnected in the background.
      retryStrategy: null,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
    });
    let lost: Error | undefined;
    redis.on("error", (error: Error) => (lost = error));
    try {
      await redis.connect();
      return new Response(`visit ${await redis.incr("visits")}\n`);
    } catch (error) {
      return new Response(`${String(lost ?? error)}\n`, { status: 502 });
    } finally {
      redis.disconnect();
    }
  },
};
