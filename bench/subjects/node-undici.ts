import { fileURLToPath } from "node:url";
import { freePort, listening } from "../lab.ts";
import type { Subject } from "./subject.ts";

/** The alternative without Workers. */
export const nodeUndici: Subject = {
  name: "Node + undici",
  what: "no Worker: a Node server that calls the origin with undici's Agent",
  start: async ({ lab, material, origin }) => {
    const script = fileURLToPath(new URL("node-undici-server.ts", import.meta.url));
    const { clientChain, clientKey, authority } = material.files;
    const port = await freePort();
    const { pid } = lab.spawn(process.execPath, [script, String(port)], {
      env: {
        ...process.env,
        ORIGIN: `https://localhost:${origin.port}`,
        CERTIFICATE: clientChain,
        KEY: clientKey,
        CA: authority,
      },
    });
    await listening(port, lab.signal);
    return { base: `http://127.0.0.1:${port}`, processes: { node: pid } };
  },
};
