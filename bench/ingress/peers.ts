import { findProgram, freePort, listening } from "../lab.ts";
import { nginxPreamble } from "../origin.ts";
import { NotInstalled } from "../subjects/subject.ts";
import { type Front, type FrontSurroundings, HOST, type Way, WAYS } from "./front.ts";

/** Reverse proxies in front of the Worker's socket, each with one process or one thread, like our ingress. */
export const peers: Readonly<Record<string, (surroundings: FrontSurroundings) => Promise<Front>>> =
  {
    nginx: startNginx,
    HAProxy: startHaproxy,
    Caddy: startCaddy,
  };

async function startNginx(surroundings: FrontSurroundings): Promise<Front> {
  const { lab, material, worker, connections } = surroundings;
  const { files } = material;
  const nginx = program("nginx");
  const ports = await freePorts();
  const tls = `
    ssl_certificate ${files.chain};
    ssl_certificate_key ${files.key};
    ssl_protocols TLSv1.2 TLSv1.3;`;
  // HAProxy closes idle connections when fewer than a sixteenth of its connection slots are free.
  const config = await lab.write(
    "front-nginx.conf",
    `${nginxPreamble("front", 1, Math.round(connections * 1.2) + 512)}
      keepalive_requests 1000000000;
      keepalive_timeout 600s;
      client_header_timeout 600s;
      upstream worker {
        server unix:${worker};
        keepalive 128;
        keepalive_requests 1000000000;
      }
      server { listen 127.0.0.1:${ports.HTTP}; server_name ${HOST}; ${nginxLocation("")} }
      server {
        listen 127.0.0.1:${ports.HTTPS} ssl backlog=4096;
        server_name ${HOST};
        ${tls}
        ${nginxLocation("")}
      }
      server {
        listen 127.0.0.1:${ports["HTTPS, client certificate"]} ssl backlog=4096;
        server_name ${HOST};
        ${tls}
        ssl_client_certificate ${files.authority};
        ssl_verify_client on;
        ${nginxLocation("proxy_set_header X-SSL-Client-Verify $ssl_client_verify; proxy_set_header X-SSL-Client-DN $ssl_client_s_dn;")}
      }
    }`,
  );
  const { pid } = lab.spawn(nginx, ["-p", lab.folder, "-e", "stderr", "-c", config]);
  return front(surroundings, { name: "nginx", what: "one worker process", pid, ports });
}

function nginxLocation(more: string): string {
  return `
    location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      ${more}
    }`;
}

async function startHaproxy(surroundings: FrontSurroundings): Promise<Front> {
  const { lab, material, worker, connections } = surroundings;
  const { files } = material;
  const haproxy = program("haproxy");
  const ports = await freePorts();
  const config = await lab.write(
    "front-haproxy.cfg",
    `global
  maxconn ${connections + 512}
  nbthread 1
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout http-request 600s
  timeout server 600s
  http-reuse always
  option forwardfor
  default_backend worker
frontend plain
  bind 127.0.0.1:${ports.HTTP}
  http-request set-header X-Forwarded-Proto http
frontend secure
  bind 127.0.0.1:${ports.HTTPS} backlog 4096 ssl crt ${files.both}
  http-request set-header X-Forwarded-Proto https
frontend mutual
  bind 127.0.0.1:${ports["HTTPS, client certificate"]} backlog 4096 ssl crt ${files.both} ca-file ${files.authority} verify required
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-SSL-Client-Verify %[ssl_c_verify]
  http-request set-header X-SSL-Client-DN %[ssl_c_s_dn]
backend worker
  server worker unix@${worker}
`,
  );
  const { pid } = lab.spawn(haproxy, ["-db", "-f", config]);
  return front(surroundings, { name: "HAProxy", what: "one thread", pid, ports });
}

async function startCaddy(surroundings: FrontSurroundings): Promise<Front> {
  const { lab, material, worker } = surroundings;
  const { files } = material;
  const caddy = program("caddy");
  const ports = await freePorts();
  const proxy = (more = "") =>
    `reverse_proxy unix/${worker} {\n  transport http {\n    keepalive_idle_conns_per_host 128\n  }\n  ${more}\n}`;
  const config = await lab.write(
    "Caddyfile",
    `{
  admin off
  auto_https off
  storage file_system ${lab.path("caddy")}
}
http://${HOST}:${ports.HTTP} {
  bind 127.0.0.1
  ${proxy()}
}
https://${HOST}:${ports.HTTPS} {
  bind 127.0.0.1
  tls ${files.chain} ${files.key}
  ${proxy()}
}
https://${HOST}:${ports["HTTPS, client certificate"]} {
  bind 127.0.0.1
  tls ${files.chain} ${files.key} {
    client_auth {
      mode require_and_verify
      trusted_ca_cert_file ${files.authority}
    }
  }
  ${proxy("header_up X-SSL-Client-DN {http.request.tls.client.subject}")}
}
`,
  );
  const home = { HOME: lab.folder, XDG_DATA_HOME: lab.folder, XDG_CONFIG_HOME: lab.folder };
  const { pid } = lab.spawn(caddy, ["run", "--adapter", "caddyfile", "--config", config], {
    env: { ...process.env, ...home, GOMAXPROCS: "1" },
  });
  return front(surroundings, { name: "Caddy", what: "GOMAXPROCS=1", pid, ports });
}

async function front({ lab }: FrontSurroundings, started: Front): Promise<Front> {
  for (const port of Object.values(started.ports)) await listening(port, lab.signal);
  return started;
}

async function freePorts(): Promise<Record<Way, number>> {
  const ports = await Promise.all(WAYS.map(async (way) => [way, await freePort()] as const));
  return Object.fromEntries(ports) as Record<Way, number>;
}

function program(name: string): string {
  const path = findProgram(name);
  if (path === null) throw new NotInstalled(`${name} is not installed`);
  return path;
}
