// In the process of a Worker whose D1 binding speaks RPC: says which database it is for.
import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  query(call) {
    return this.env.SOCKET.query({ ...call, capability: this.env.CAPABILITY });
  }

  fetch(request) {
    return this.env.SOCKET.fetch(request);
  }
}
