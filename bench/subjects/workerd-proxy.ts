import { networkService } from "./native.ts";
import type { Subject } from "./subject.ts";
import { runWorkerd, text, workerConfig } from "./workerd.ts";

/** The least that a process between the Worker and the origin costs, if that process is workerd. */
export const workerdProxy: Subject = {
  name: "workerd proxy",
  what: "the Worker, then a workerd without JavaScript that presents the certificate",
  start: async ({ lab, material, origin }) => {
    const socket = lab.path("workerd-proxy.sock");
    const proxy = await runWorkerd(
      lab,
      "workerd-proxy",
      `(
        sockets = [(name = "proxy", address = ${text(`unix:${socket}`)}, http = (style = proxy), service = "origin")],
        services = [${networkService(material)}],
      )`,
    );
    const worker = await runWorkerd(
      lab,
      "workerd-proxy-worker",
      workerConfig({
        origin: `(name = "origin", external = (address = ${text(`unix:${socket}`)}, http = (style = proxy)))`,
        base: `https://localhost:${origin.port}`,
      }),
    );
    return {
      base: `http://127.0.0.1:${worker.port}`,
      processes: { workerd: worker.pid, proxy: proxy.pid },
    };
  },
};
