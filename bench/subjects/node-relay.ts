import { fileURLToPath } from "node:url";
import { listening } from "../lab.ts";
import type { Subject } from "./subject.ts";
import { runWorkerd, text, workerConfig } from "./workerd.ts";

/** What a process in Node between the Worker and the origin costs at least: nobody could use this one. */
export const nodeRelay: Subject = {
  name: "Node relay",
  what: "the Worker, then a relay in Node that passes bytes on and reads no HTTP",
  start: async ({ lab, material, origin }) => {
    const script = fileURLToPath(new URL("node-relay-server.ts", import.meta.url));
    const socket = lab.path("node-relay.sock");
    const { clientChain, clientKey, authority } = material.files;
    const { pid } = lab.spawn(process.execPath, [script, socket], {
      env: {
        ...process.env,
        PORT: String(origin.port),
        CERTIFICATE: clientChain,
        KEY: clientKey,
        CA: authority,
      },
    });
    await listening(socket, lab.signal);
    const worker = await runWorkerd(
      lab,
      "node-relay-worker",
      workerConfig({
        origin: `(name = "origin", external = (address = ${text(`unix:${socket}`)}, http = ()))`,
        base: "http://localhost",
      }),
    );
    return {
      base: `http://127.0.0.1:${worker.port}`,
      processes: { workerd: worker.pid, relay: pid },
    };
  },
};
