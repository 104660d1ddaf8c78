import type { OwnPresentation } from "../../src/edge/in-process.ts";
import { readCredential } from "../../src/certificates/credential.ts";
import { ACCOUNT, edgeCertificate } from "../product.ts";
import { productConfig } from "./product-worker.ts";
import type { Subject } from "./subject.ts";
import { runPrepared, WORKER } from "./workerd.ts";

/** workerd's own TLS, as the product offers it. */
export const inProcess: Subject = {
  name: "in-process",
  what: "the product's in-process mode: workerd's own TLS, in the Worker's process",
  start: async ({ lab, material, origin }) => {
    const { authority, client } = material;
    const presented: OwnPresentation = {
      credential: readCredential(edgeCertificate("bench", client)),
      publicRoots: true,
      authorities: [authority.pem],
    };
    const config = productConfig(
      "in-process",
      {
        accountId: ACCOUNT,
        scriptName: "bench",
        versionId: "bench",
        compatibilityDate: "2026-11-17",
        compatibilityFlags: [],
        bindings: [
          { name: "ORIGIN", type: "mtls_certificate", certificateId: "bench", mode: "in-process" },
          { name: "BASE", type: "plain_text", text: `https://localhost:${origin.port}` },
          {
            name: "RESUMES",
            type: "plain_text",
            text: `https://localhost:${origin.resumingPort}`,
          },
        ],
        presented: new Map([["ORIGIN", presented]]),
      },
      // The product passes keys through a pipe, once, before the process serves.
      { privateKey: () => client.key },
    );
    await lab.write("worker.js", WORKER);
    await lab.write("in-process.capnp", config);
    // wrk does not support Unix sockets, so this socket is moved to a port.
    const options = ["--socket-addr=main=127.0.0.1:0"];
    const { port, pid } = await runPrepared(lab, "in-process.capnp", 2, options);
    return { base: `http://127.0.0.1:${port}`, processes: { workerd: pid }, resumes: true };
  },
};
