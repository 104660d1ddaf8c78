import { decodedBy } from "../decoded.ts";
import { NO_CERTIFICATE } from "../../contract/gateway.ts";
import { IDENTITY, identityId } from "../../contract/identity.ts";
import type { GenerationFolder } from "./generation-folder.ts";
import { doorOf, refusedEntrypoint } from "../config/service-links.ts";
import { isRemote, objectsDoor } from "../storage/remote-objects.ts";
import { frontOf, originSocket } from "../config/outbound-config.ts";
import { resourceOf } from "../storage/resources.ts";
import type { LaidOutVersion } from "../config/workerd-config.ts";
import type { GenerationContext } from "./generation-context.ts";

/**
 * The other ends of one generation's bindings: sockets of the gateway, and links to the storage and
 * to other Workers. Its Worker's process finds them in its own folder.
 */
export class GenerationBindings {
  readonly #context: GenerationContext;
  readonly #folder: GenerationFolder;
  readonly #version: LaidOutVersion;
  readonly #links: string[] = [];
  readonly #opened: string[] = [];

  constructor(context: GenerationContext, folder: GenerationFolder, version: LaidOutVersion) {
    this.#context = context;
    this.#folder = folder;
    this.#version = version;
  }

  /**
   * Has all of them listen; none of a version's that will not be started. What was opened before one
   * failed is closed by `close`.
   */
  async open(): Promise<void> {
    if (refusedEntrypoint(this.#version) !== null) return;
    const { accountId, scriptName, bindings, presented } = this.#version;
    for (const binding of bindings) {
      const resource = resourceOf(binding);
      if (resource !== null) {
        const path = this.placeOf(binding.name, "x");
        this.#links.push(path);
        await this.#context.storage.bind(path, accountId, resource.kind);
      } else if (binding.type === "service") {
        await this.#link(binding.name, binding.service, doorOf(binding));
      } else if (isRemote(binding)) {
        const { scriptName: owner, namespaceId } = binding.remote;
        await this.#link(binding.name, owner, objectsDoor(namespaceId));
      } else if (binding.type === "mtls_certificate" && !presented.has(binding.name)) {
        const socketPath = this.placeOf(binding.name, "b");
        const { name: bindingName } = binding;
        const certificateId = await this.#certificateId(binding.certificateId);
        await this.#context.gateway.openBinding({
          socketPath,
          accountId,
          scriptName,
          bindingName,
          certificateId,
          decodes: decodedBy(this.#version),
        });
        this.#opened.push(socketPath);
      } else if (binding.type === "hyperdrive") await this.#openDatabase(binding.name);
    }
    await this.#openOrigins();
  }

  async close(): Promise<void> {
    const { gateway } = this.#context;
    this.#context.unlinkServices(this.#links.splice(0));
    await Promise.all(this.#opened.splice(0).map((path) => gateway.closeBinding(path)));
  }

  /** Has a binding lead to another Worker's door. */
  async #link(bindingName: string, scriptName: string, door: string): Promise<void> {
    const { accountId } = this.#version;
    const path = this.placeOf(bindingName, "x");
    this.#links.push(path);
    await this.#context.linkService(path, { accountId, scriptName }, door);
  }

  /** Where a binding leads to: the gateway's socket, or a link to another Worker's. */
  placeOf(bindingName: string, letter: "b" | "x"): string {
    const index = this.#version.bindings.findIndex(({ name }) => name === bindingName);
    return this.#folder.inRun(`${letter}${index}`);
  }

  /** What the Worker fetches at hosts that it stands before goes to their origins. */
  async #openOrigins(): Promise<void> {
    const { accountId, scriptName, origins } = this.#version;
    for (const [index, origin] of origins.entries()) {
      const socketPath = this.#folder.inRun(originSocket(index));
      await this.#context.gateway.openBinding({
        socketPath,
        accountId,
        scriptName,
        bindingName: origin.host,
        certificateId: origin.certificateId ?? NO_CERTIFICATE,
        front: frontOf(origin, this.#context.originPort),
      });
      this.#opened.push(socketPath);
    }
  }

  async #openDatabase(bindingName: string): Promise<void> {
    const told = this.#version.databases.get(bindingName);
    if (told === undefined) return;
    const { presentsIdentity, ...database } = told;
    if (presentsIdentity) await this.#context.identities?.ensure(this.#version);
    const { accountId, scriptName } = this.#version;
    const socketPath = this.placeOf(bindingName, "b");
    await this.#context.gateway.openBinding({
      socketPath,
      accountId,
      scriptName,
      bindingName,
      certificateId: NO_CERTIFICATE,
      database,
    });
    this.#opened.push(socketPath);
  }

  /** A Worker that binds its identity has one before it runs. */
  async #certificateId(bound: string): Promise<string> {
    if (bound !== IDENTITY) return bound;
    await this.#context.identities?.ensure(this.#version);
    return identityId(this.#version.scriptName);
  }
}
