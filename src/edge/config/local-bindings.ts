import { createHash } from "node:crypto";
import { join } from "node:path";
import { keyIn } from "../../contract/key-in.ts";
import type { GatewayHandle } from "../../contract/gateway.ts";
import type { RunDirectory } from "../../process/run-directory.ts";

/**
 * Sockets at which programs on this machine present a certificate that is kept here, without
 * getting its key: what `countersign dev` binds. One a certificate, until the edge stops.
 */
export class LocalBindings {
  readonly #run: RunDirectory;
  readonly #gateway: GatewayHandle;
  readonly #open = new Map<string, Promise<string>>();

  constructor(run: RunDirectory, gateway: GatewayHandle) {
    this.#run = run;
    this.#gateway = gateway;
  }

  /** The absolute path of the socket, mode 0600, in a folder that only its owner can enter. */
  open(accountId: string, certificateId: string): Promise<string> {
    const name = createHash("sha256").update(keyIn(accountId, certificateId)).digest("hex");
    const socketPath = join("l", `${name.slice(0, 16)}.sock`);
    let path = this.#open.get(socketPath);
    if (path === undefined) {
      path = this.#listen(socketPath, accountId, certificateId);
      this.#open.set(socketPath, path);
      path.catch(() => this.#open.delete(socketPath));
    }
    return path;
  }

  async #listen(socketPath: string, accountId: string, certificateId: string): Promise<string> {
    await this.#gateway.openBinding({
      socketPath,
      accountId,
      scriptName: "countersign dev",
      bindingName: "local",
      certificateId,
    });
    return this.#run.absolute(socketPath);
  }
}
