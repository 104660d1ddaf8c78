import { V8_FLAGS } from "../../src/edge/config/v8-flags.ts";
import type { Material } from "../material.ts";
import type { Subject } from "./subject.ts";
import { runWorkerd, text, workerConfig } from "./workerd.ts";

/** The baseline: workerd's own TLS, as workerd's documentation shows it. */
export const native: Subject = {
  name: "native",
  what: "workerd alone: `network` with a keypair, stock flags",
  start: (surroundings) => start(surroundings, "native", []),
};

/** Shows how much of the difference to `native` comes from V8's flags alone. */
export const nativeTuned: Subject = {
  name: "native, our flags",
  what: "the same with the V8 flags that the product sets",
  start: (surroundings) => start(surroundings, "native-tuned", V8_FLAGS),
};

/** workerd's own TLS with the certificate, as a service called `origin`. */
export function networkService({ authority, client }: Material): string {
  return `(name = "origin", network = (
    allow = ["public", "private"],
    tlsOptions = (
      trustedCertificates = [${text(authority.pem)}],
      keypair = (privateKey = ${text(client.key)}, certificateChain = ${text(client.chain)}),
    ),
  ))`;
}

async function start(
  { lab, material, origin }: Parameters<Subject["start"]>[0],
  file: string,
  v8Flags: readonly string[],
): ReturnType<Subject["start"]> {
  const base = `https://localhost:${origin.port}`;
  const resumes = `https://localhost:${origin.resumingPort}`;
  const config = workerConfig({ origin: networkService(material), base, resumes, v8Flags });
  const { pid, port } = await runWorkerd(lab, file, config);
  return { base: `http://127.0.0.1:${port}`, processes: { workerd: pid }, resumes: true };
}
