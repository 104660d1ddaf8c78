import { doubleQuoted, hostPort, singleQuoted } from "../origin-config/server.ts";

/** A proxy's address, certificate and destination. Each value was checked when it was read. */
export interface ProxySettings {
  readonly listen: { readonly host: string; readonly port: number };
  /** Null: any host. */
  readonly host: string | null;
  /** Absolute paths. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly to: Target;
}

/** A Worker's socket, a Worker's port, or the ingress. */
export type Target =
  | { readonly path: string }
  | { readonly address: string; readonly isWorker: boolean };

interface Proxy {
  /** The name of the configuration file. */
  readonly file: string;
  render(front: ProxySettings): string;
}

/** Headers with this prefix are set by Cloudflare. */
const CLOUDFLARE = "CF-";

/** Headers that Cloudflare or a proxy sets; from a client they prove nothing. */
const FORGEABLE = [
  "Client-Cert",
  "Client-Cert-Chain",
  "X-Forwarded-Client-Cert",
  "X-SSL-Client-Cert",
  "X-SSL-Client-DER",
  "X-SSL-Client-Verify",
  "Countersign-CF",
  "Forwarded",
  "True-Client-IP",
  "X-Forwarded-Host",
] as const;

/** nginx cannot drop headers by prefix, so they are listed. */
const CLOUDFLARE_NAMES = (
  "Access-Authenticated-User-Email Access-Client-Id Access-Client-Secret Access-Jwt-Assertion " +
  "Access-Token Bot-Score Cert-Fingerprint-Sha1 Cert-Fingerprint-Sha256 Cert-Issuer-Dn " +
  "Cert-Issuer-Dn-Legacy Cert-Issuer-Dn-Rfc2253 Cert-Issuer-Serial Cert-Issuer-Ski " +
  "Cert-Not-After Cert-Not-Before Cert-Presented Cert-Revoked Cert-Serial Cert-Ski " +
  "Cert-Subject-Dn Cert-Subject-Dn-Legacy Cert-Subject-Dn-Rfc2253 Cert-Verified " +
  "Client-Bot Connecting-IPv6 EW-Via IPCity IPContinent IPCountry IPLatitude IPLongitude " +
  "JA3-Hash JA4 Metro-Code Postal-Code Pseudo-IPv4 Ray Region Region-Code Threat-Score " +
  "Timezone TLS-Cipher TLS-Version Verified-Bot Verified-Bot-Category Visitor Worker"
)
  .split(" ")
  .map((name) => CLOUDFLARE + name);

/** Headers that name the client, as the proxy itself sees it. */
function told(front: ProxySettings, address: string): readonly (readonly [string, string])[] {
  const forwarded = [
    ["X-Forwarded-For", address],
    ["X-Forwarded-Proto", schemeOf(front)],
  ] as const;
  if (!isWorker(front.to)) return forwarded;
  return [["CF-Connecting-IP", address], ["X-Real-IP", address], ...forwarded];
}

/** Headers that the proxy has to drop. The ingress drops these itself, and its Access reads some of them. */
function dropped({ to }: ProxySettings, names: readonly string[]): readonly string[] {
  return isWorker(to) ? names : [];
}

/** True: no ingress stands behind the proxy, only workerd. */
function isWorker(to: Target): boolean {
  return "path" in to || to.isWorker;
}

function schemeOf({ tls }: ProxySettings): "http" | "https" {
  return tls === null ? "http" : "https";
}

const nginx: Proxy = {
  file: "countersign.conf",
  render: (front) => {
    const { listen, host, tls, to } = front;
    const target = "path" in to ? `unix:${to.path}` : to.address;
    const names = dropped(front, [...FORGEABLE, ...CLOUDFLARE_NAMES]);
    return `# For the context http.
# Each request has a connection of its own to the other side: a deploy cuts none that is used again.
map $http_upgrade $countersign_ingress_connection {
  "" close;
  default upgrade;
}
server {
  listen ${hostPort(listen)}${tls === null ? "" : " ssl http2"};
  server_name ${host === null ? "_" : doubleQuoted(host)};
${tls === null ? "" : nginxTls(tls)}\
  # As Cloudflare's free plan has it.
  client_max_body_size 100m;

  location / {
    proxy_pass ${doubleQuoted(`http://${target}`)};
    proxy_http_version 1.1;
    # Streams pass as they come, and WebSockets may be silent for an hour.
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_read_timeout 1h;
    proxy_send_timeout 1h;
    proxy_headers_hash_max_size 2048;
    proxy_headers_hash_bucket_size 128;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $countersign_ingress_connection;
${told(front, "$remote_addr")
  .map(([name, value]) => `    proxy_set_header ${name} ${value};\n`)
  .join("")}\
${names.length > 0 ? "    # What a client itself says under these names is dropped.\n" : ""}\
${names.map((name) => `    proxy_set_header ${name} "";\n`).join("")}\
  }
}
`;
  },
};

function nginxTls({ cert, key }: NonNullable<ProxySettings["tls"]>): string {
  return `  ssl_certificate ${doubleQuoted(cert)};
  ssl_certificate_key ${doubleQuoted(key)};
  ssl_protocols TLSv1.2 TLSv1.3;
`;
}

const haproxy: Proxy = {
  file: "countersign.cfg",
  render: (front) => {
    const { listen, host, tls, to } = front;
    const isSocket = "path" in to;
    const ownConnections = isWorker(to);
    const bind = `  bind ${hostPort(listen)}`;
    const lines = [
      ...(tls === null
        ? []
        : [
            "# The key stands in the certificate's file, or beside it in a file with .key at its end.",
          ]),
      ...(isSocket
        ? ["# With `chroot` in the section global, the socket is looked for below it."]
        : []),
      "frontend countersign_ingress",
      "  mode http",
      "  timeout client 60s",
      "  timeout http-request 30s",
      tls === null
        ? bind
        : `${bind} ssl crt ${singleQuoted(tls.cert)} ssl-min-ver TLSv1.2 alpn h2,http/1.1`,
      ...(host === null
        ? []
        : [
            `  http-request deny deny_status 421 unless { req.hdr(host),host_only,lower -m str -- ${singleQuoted(host)} }`,
          ]),
      ...dropped(front, [`${CLOUDFLARE} -m beg`, ...FORGEABLE]).map(
        (name) => `  http-request del-header ${name}`,
      ),
      ...told(front, "%[src]").map(([name, value]) => `  http-request set-header ${name} ${value}`),
      "  default_backend countersign_ingress_workers",
      "",
      "backend countersign_ingress_workers",
      "  mode http",
      "  timeout connect 5s",
      "  timeout server 1h",
      "  # WebSockets may be silent for this long.",
      "  timeout tunnel 1h",
      ...(ownConnections
        ? [
            "  # Each request has a connection of its own: a deploy cuts none that is used again.",
            "  option http-server-close",
            "  http-reuse never",
          ]
        : []),
      `  server workers ${isSocket ? singleQuoted(`unix@${to.path}`) : to.address}`,
    ];
    return `${lines.join("\n")}\n`;
  },
};

const caddy: Proxy = {
  file: "countersign.caddy",
  render: (front) => {
    const { listen, host, tls, to } = front;
    const scheme = schemeOf(front);
    const upstream = "path" in to ? `unix/${to.path}` : to.address;
    return `${scheme}://${host ?? ""}:${listen.port} {
  bind ${doubleQuoted(listen.host)}
${tls === null ? "" : `  tls ${doubleQuoted(tls.cert)} ${doubleQuoted(tls.key)}\n`}\
  route {
${dropped(front, [`${CLOUDFLARE}*`, ...FORGEABLE])
  .map((name) => `    request_header -${name}\n`)
  .join("")}\
${told(front, "{http.request.remote.host}")
  .filter(([name]) => !name.startsWith("X-Forwarded-"))
  .map(([name, value]) => `    request_header ${name} ${value}\n`)
  .join("")}\
    # X-Forwarded-For and -Proto are set by it.
    reverse_proxy ${doubleQuoted(upstream)} {
      flush_interval -1
${isWorker(to) ? caddyOwnConnections : ""}\
    }
  }
}
`;
  },
};

const caddyOwnConnections = `      # Each request has a connection of its own: a deploy cuts none that is used again.
      transport http {
        keepalive off
      }
`;

export const proxies: Readonly<Record<string, Proxy>> = { nginx, haproxy, caddy };
