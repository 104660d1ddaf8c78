import { anyOf, CLEAR_PATH, literal } from "./pattern.ts";
import { serverRules, type Condition, type Fact, type ServerRule, type Sight } from "./rules.ts";
import {
  doubleQuoted as quoted,
  hostPort,
  refusals,
  type OriginServer,
  type OriginState,
} from "./server.ts";

const sight: Sight = {
  server: "nginx",
  worker: "subject",
  facts: ["subject", "issuer"],
  names: "hex-in-name",
};

export const nginx: OriginServer = {
  file: "countersign.conf",
  needsBundle: true,
  needsCrl: false,
  render: (state) => {
    const rules = serverRules(state.policy.allow, sight, state.account);
    return `${[maps(rules, state), server(state)].join("\n")}\n`;
  },
};

/** nginx knows a fingerprint as SHA-1 only, and of the names only the subject. */
const variables: Partial<Record<Fact, string>> = {
  subject: "$ssl_client_s_dn",
  issuer: "$ssl_client_i_dn",
};

/** Variables that name the caller of a request, and why it is refused. Only what a rule allows is let in. */
function maps(rules: readonly ServerRule[], { revoked }: OriginState): string {
  const named = rules.map((_, i) => `$countersign_${i}_caller`).join("");
  const withMethod = rules.map((_, i) => `$countersign_${i}_method`).join("");
  const allowed = rules.map((_, i) => `$countersign_${i}`).join("");
  return `${rules.map(ruleMaps).join("")}
# The path, if it can be read in one way only.
map $request_uri $countersign_path {
  "~^(?<countersign_clear>${CLEAR_PATH})(?:[?]|\\z)" $countersign_clear;
}
map $ssl_client_serial $countersign_revoked {
  default 0;
${revoked.map((serial) => `  "${serial.padStart(serial.length + (serial.length % 2), "0")}" 1;\n`).join("")}}
map $ssl_client_s_dn $countersign_worker {
  "~^CN=(?<countersign_cn>[A-Za-z0-9._-]+),O=[A-Za-z0-9._-]+\\z" $countersign_cn;
}
map $ssl_client_s_dn $countersign_account {
  "~^CN=[A-Za-z0-9._-]+,O=(?<countersign_o>[A-Za-z0-9._-]+)\\z" $countersign_o;
}
# Empty: it is let in.
map "$ssl_client_verify $countersign_revoked ${named} ${withMethod} ${allowed}" $countersign_code {
  default path_not_allowed;
  "~^NONE " certificate_missing;
  "~^FAILED:certificate has expired " certificate_expired;
  "~^FAILED:certificate is not yet valid " certificate_not_yet_valid;
  "~^FAILED" certificate_untrusted;
  "~^SUCCESS 1 " certificate_revoked;
  "~^SUCCESS 0 0* " caller_not_named;
  "~^SUCCESS 0 [01]+ 0* " method_not_allowed;
  "~^SUCCESS 0 [01]+ [01]+ 0*1" "";
}
map $countersign_code $countersign_status {
  default 403;
  "" 200;
  "~^certificate_" 401;
}
map $countersign_code $countersign_message {
${Object.entries(refusals)
  .map(([code, sentence]) => `  ${code} "${sentence}";\n`)
  .join("")}}
map $http_upgrade $countersign_connection {
  "" "";
  default upgrade;
}
`;
}

function ruleMaps({ caller, methods, paths }: ServerRule, index: number): string {
  const name = `$countersign_${index}`;
  const parts = caller.map((condition, i) => callerMap(condition, `${name}_c${i}`));
  const all = caller.map((_, i) => `${name}_c${i}`).join("");
  const method = methods === null ? "" : `${anyOf(methods.map((one) => literal(one)))}\\z`;
  return `
# allow[…]: rule ${index}
${parts.join("")}map "${all}" ${name}_caller {
  default 0;
  "${"1".repeat(caller.length)}" 1;
}
map "${name}_caller $request_method" ${name}_method {
  default 0;
  "~^1\\x20${method}" 1;
}
map "${name}_method $countersign_path" ${name} {
  default 0;
${pathLines(paths)}}
`;
}

function pathLines(paths: ServerRule["paths"]): string {
  if (paths === null) return '  "~^1\\x20" 1;\n';
  return paths
    .map(({ pattern, isPrefix }) => `  "~^1\\x20${pattern}${isPrefix ? "" : "\\z"}" 1;\n`)
    .join("");
}

function callerMap({ fact, pattern }: Condition, name: string): string {
  return `map ${variables[fact]} ${name} {
  default 0;
  "~^(?:${pattern})\\z" 1;
}
`;
}

function server(state: OriginState): string {
  const { listen, serverName, cert, key, bundleFile } = state;
  return `server {
  listen ${hostPort(listen)} ssl http2;
  server_name ${serverName === undefined ? "_" : quoted(serverName)};
  ssl_certificate ${quoted(cert)};
  ssl_certificate_key ${quoted(key)};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_client_certificate ${quoted(bundleFile)};
  # A refused caller reads why; a certificate is verified in every handshake.
  ssl_verify_client optional;
  ssl_verify_depth 4;
  ssl_session_cache off;
  ssl_session_tickets off;
  keepalive_time 5m;
  # Otherwise X_Countersign_Worker would be as good as X-Countersign-Worker for many a service.
  underscores_in_headers off;

  error_page 401 495 496 = @countersign_401;
  error_page 403 = @countersign_403;
  if ($countersign_status = 401) { return 401; }
  if ($countersign_status = 403) { return 403; }

  location / {
    proxy_pass http://${hostPort(state.to)};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $countersign_connection;
    proxy_set_header X-Countersign-Worker $countersign_worker;
    proxy_set_header X-Countersign-Account $countersign_account;
    proxy_set_header X-Countersign-Environment "";
    proxy_set_header X-Countersign-Spiffe-Id "";
    proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
    proxy_set_header Client-Cert "";
    proxy_set_header X-Forwarded-Client-Cert "";
  }
  location @countersign_401 {
    default_type application/json;
    return 401 ${ANSWER};
  }
  location @countersign_403 {
    default_type application/json;
    return 403 ${ANSWER};
  }
}
`;
}

/** The code and its sentence, as in answers of `authorize`. */
const ANSWER = `'{"error":{"code":"$countersign_code","message":"$countersign_message"}}'`;
