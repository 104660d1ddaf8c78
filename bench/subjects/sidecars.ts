import { findProgram, freePort, listening } from "../lab.ts";
import { nginxPreamble } from "../origin.ts";
import { NotInstalled, type RunningSubject, type Subject, type Surroundings } from "./subject.ts";
import { runWorkerd, text, workerConfig } from "./workerd.ts";

export const nginxSidecar: Subject = {
  name: "nginx sidecar",
  what: "the Worker, then nginx on loopback that presents the certificate",
  start: async (surroundings) => {
    const { lab, material, origin } = surroundings;
    const nginx = program("nginx");
    const port = await freePort();
    const config = await lab.write(
      "sidecar.conf",
      `${nginxPreamble("sidecar", 1)}
        keepalive_requests 1000000000;
        upstream origin {
          server 127.0.0.1:${origin.port};
          keepalive 128;
          keepalive_requests 1000000000;
        }
        server {
          listen 127.0.0.1:${port};
          location / {
            proxy_pass https://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host localhost;
            proxy_ssl_certificate ${material.files.clientChain};
            proxy_ssl_certificate_key ${material.files.clientKey};
            proxy_ssl_trusted_certificate ${material.files.authority};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_protocols TLSv1.3;
          }
        }
      }`,
    );
    const { pid } = lab.spawn(nginx, ["-p", lab.folder, "-e", "stderr", "-c", config]);
    return sidecar(surroundings, "nginx", port, pid);
  },
};

export const haproxySidecar: Subject = {
  name: "HAProxy sidecar",
  what: "the Worker, then HAProxy on loopback that presents the certificate",
  start: async (surroundings) => {
    const { lab, material, origin } = surroundings;
    const haproxy = program("haproxy");
    const port = await freePort();
    const { authority, clientBoth } = material.files;
    const config = await lab.write(
      "haproxy.cfg",
      `global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend worker
  bind 127.0.0.1:${port}
  default_backend origin
backend origin
  server origin 127.0.0.1:${origin.port} ssl verify required ca-file ${authority} crt ${clientBoth} sni str(localhost) verifyhost localhost
`,
    );
    const { pid } = lab.spawn(haproxy, ["-db", "-f", config]);
    return sidecar(surroundings, "HAProxy", port, pid);
  },
};

async function sidecar(
  { lab }: Surroundings,
  name: string,
  port: number,
  pid: number,
): Promise<RunningSubject> {
  await listening(port, lab.signal);
  const worker = await runWorkerd(
    lab,
    `${name}-worker`,
    workerConfig({
      origin: `(name = "origin", external = (address = ${text(`127.0.0.1:${port}`)}, http = ()))`,
      base: "http://localhost",
    }),
  );
  return {
    base: `http://127.0.0.1:${worker.port}`,
    processes: { workerd: worker.pid, [name]: pid },
  };
}

function program(name: string): string {
  const path = findProgram(name);
  if (path === null) throw new NotInstalled(`${name} is not installed`);
  return path;
}
