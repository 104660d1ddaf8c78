import { mkdir } from "node:fs/promises";
import { userInfo } from "node:os";
import { fileURLToPath } from "node:url";
import { findProgram, freePort, listening, type Lab } from "./lab.ts";
import type { Material } from "./material.ts";

/**
 * The server that asks for a client certificate. `/pooled/…` keeps connections open. `/each/…` closes each connection
 * after its response and resumes no session, so every request costs a full handshake. `small` is 200 bytes of JSON,
 * `large` 1 MiB.
 */
export interface Origin {
  readonly name: string;
  readonly port: number;
  /** `/resumed/…`: like `/each/…`, but sessions are resumed if the client offers one. */
  readonly resumingPort: number;
  readonly pid: number;
}

export const LARGE: Buffer = Buffer.alloc(1_048_576, "0123456789abcdef");
export const SMALL: string = JSON.stringify({
  id: "b145510d-25ff-4370-89b0-46b42532af1b",
  status: "settled",
  amount: 1299,
  currency: "EUR",
  reference: "an order of three books and a lamp, to be sent on Monday at the latest",
  tags: ["a", "b"],
});

/** nginx; without it, Node's server. */
export async function startOrigin(lab: Lab, material: Material): Promise<Origin> {
  const nginx = findProgram("nginx");
  const ports = { port: await freePort(), resumingPort: await freePort() };
  const origin =
    nginx === null
      ? nodeOrigin(lab, material, ports)
      : await nginxOrigin(lab, material, nginx, ports);
  for (const port of Object.values(ports)) await listening(port, lab.signal);
  return origin;
}

/** The configuration that every nginx needs in order to run in the lab's folder, as the user who runs the benchmark. */
export function nginxPreamble(name: string, workers: number, connections = 4_096): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${name}-${kind};`)
    .join(" ");
  return `
    daemon off;
    pid ${name}.pid;
    worker_processes ${workers};
    ${process.getuid?.() === 0 ? `user ${userInfo().username};` : ""}
    events { worker_connections ${connections}; }
    http {
      access_log off;
      ${temporary}`;
}

async function nginxOrigin(
  lab: Lab,
  { files }: Material,
  nginx: string,
  ports: Ports,
): Promise<Origin> {
  for (const kind of ["pooled", "each"]) {
    await mkdir(lab.path(`www/${kind}`), { recursive: true });
    await lab.write(`www/${kind}/large`, LARGE);
  }
  const small = `default_type application/json; return 200 '${SMALL}';`;
  const config = await lab.write(
    "origin.conf",
    `${nginxPreamble("origin", 2)}
      keepalive_requests 1000000000;
      ssl_certificate ${files.serverChain};
      ssl_certificate_key ${files.serverKey};
      ssl_client_certificate ${files.authority};
      ssl_verify_client on;
      ssl_protocols TLSv1.3;
      server {
        listen 127.0.0.1:${ports.resumingPort} ssl backlog=4096;
        location / { keepalive_timeout 0; ${small} }
      }
      server {
        listen 127.0.0.1:${ports.port} ssl backlog=4096;
        ssl_session_tickets off;
        ssl_session_cache off;
        root ${lab.path("www")};
        location /pooled/small { ${small} }
        location /each/small { keepalive_timeout 0; ${small} }
        location /each/ { keepalive_timeout 0; }
      }
    }`,
  );
  const { pid } = lab.spawn(nginx, ["-p", lab.folder, "-e", "stderr", "-c", config]);
  return { name: "nginx", ...ports, pid };
}

function nodeOrigin(lab: Lab, { files }: Material, ports: Ports): Origin {
  const script = fileURLToPath(new URL("node-origin.ts", import.meta.url));
  const { pid } = lab.spawn(process.execPath, [
    script,
    String(ports.port),
    String(ports.resumingPort),
    files.serverChain,
    files.serverKey,
    files.authority,
  ]);
  return { name: "Node's https, for nginx is not installed", ...ports, pid };
}

type Ports = Pick<Origin, "port" | "resumingPort">;
