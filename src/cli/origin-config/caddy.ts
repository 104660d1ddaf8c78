import { X509Certificate } from "node:crypto";
import { CLEAR_PATH } from "./pattern.ts";
import { serverRules, type Condition, type Fact, type ServerRule, type Sight } from "./rules.ts";
import {
  refusalAnswer,
  doubleQuoted as token,
  hostPort,
  type OriginServer,
  type OriginState,
  type RefusalCode,
} from "./server.ts";

const sight: Sight = {
  server: "Caddy",
  worker: "uri",
  facts: ["uri", "subject", "issuer", "fingerprint"],
  names: "raw",
};

export const caddy: OriginServer = {
  file: "countersign.caddy",
  needsBundle: false,
  needsCrl: false,
  render: (state) => {
    const rules = serverRules(state.policy.allow, sight, state.account);
    return `${site(state)} {
  bind ${token(state.listen.host)}
  tls ${token(state.cert)} ${token(state.key)} {
    client_auth {
      # Certificates of other CAs, and expired ones, end in the handshake.
      mode verify_if_given
${state.authorities.map((pem) => `      trusted_ca_cert ${new X509Certificate(pem).raw.toString("base64")}\n`).join("")}    }
  }
${body(rules, state)}}
`;
  },
};

function site({ listen, serverName }: OriginState): string {
  return `https://${serverName === undefined ? "" : token(serverName)}:${listen.port}`;
}

/** Variables for the facts that rules ask for. Each is always a text. */
const known: Readonly<Record<Fact | "serial" | "second" | "target", string>> = {
  uri: "{http.request.tls.client.san.uris.0}",
  second: "{http.request.tls.client.san.uris.1}",
  subject: "{http.request.tls.client.subject}",
  issuer: "{http.request.tls.client.issuer}",
  fingerprint: "{http.request.tls.client.fingerprint}",
  serial: "{http.request.tls.client.serial}",
  target: "{http.request.orig_uri}",
};

function body(rules: readonly ServerRule[], { revoked, to }: OriginState): string {
  const callers = rules.map(callerTest);
  const methods = rules.map((rule, i) => `${callers[i]}${methodTest(rule)}`);
  const allowed = rules.map((rule, i) => `${methods[i]}${pathTests(rule)}`);
  // Caddy has serial numbers in decimal.
  const serials = revoked.map((serial) => `"${BigInt(`0x${serial}`).toString()}"`).join(", ");
  return `  route {
    vars {
${Object.entries(known)
  .map(([name, value]) => `      countersign_${name} ${value}\n`)
  .join("")}    }
${refuse("certificate_missing", `${variable("fingerprint")} == ""`)}\
${revoked.length > 0 ? refuse("certificate_revoked", `${variable("serial")} in [${serials}]`) : ""}\
    @countersign_allowed expression \`${any(allowed)}\`
    handle @countersign_allowed {
${dropped()}      request_header X-Countersign-Spiffe-Id {vars.countersign_uri}
      request_header Client-Cert :{http.request.tls.client.certificate_der_base64}:
      reverse_proxy ${hostPort(to)}
    }
${refuse("caller_not_named", `!(${any(callers)})`)}\
${refuse("method_not_allowed", `!(${any(methods)})`)}\
    handle {
      ${answer("path_not_allowed")}
    }
  }
`;
}

/** Each with "_" in place of any "-" as well: CGI and its successors do not tell them apart. */
function dropped(): string {
  const names = ["X-Countersign-", "X-SSL-Client-", "X-Forwarded-Client-Cert", "Client-Cert"];
  const beginnings = names.flatMap((name) => [
    name,
    ...[...name.matchAll(/-/g)].map(({ index }) => `${name.slice(0, index)}_`),
  ]);
  return beginnings.map((name) => `      request_header -${name}*\n`).join("");
}

function any(parts: readonly string[]): string {
  return parts.join(" || ") || "false";
}

function refuse(code: RefusalCode, expression: string): string {
  return `    @${code} expression \`${expression}\`
    handle @${code} {
      ${answer(code)}
    }
`;
}

function answer(code: RefusalCode): string {
  const status = code.startsWith("certificate_") ? 401 : 403;
  return `header Content-Type application/json
      respond \`${refusalAnswer(code)}\` ${status}`;
}

function callerTest({ caller }: ServerRule): string {
  const tests = caller.map(
    ({ fact, pattern, not }: Condition) =>
      `${not ? "!" : ""}${variable(fact)}.matches(r"^(?:${pattern})$")`,
  );
  // A certificate with a SPIFFE ID has no other URI.
  const one = caller.some(({ fact }) => fact === "uri") ? [`${variable("second")} == ""`] : [];
  return [...tests, ...one].join(" && ");
}

function methodTest({ methods }: ServerRule): string {
  if (methods === null) return "";
  return ` && {http.request.method} in [${methods.map((one) => `"${one}"`).join(", ")}]`;
}

function pathTests({ paths }: ServerRule): string {
  if (paths === null) return "";
  const target = variable("target");
  const tests = paths.map(
    ({ pattern, isPrefix }) => `${target}.matches(r"^${pattern}${isPrefix ? "" : "(?:[?]|$)"}")`,
  );
  return ` && ${target}.matches(r"^${CLEAR_PATH}(?:[?]|$)") && (${tests.join(" || ")})`;
}

function variable(name: keyof typeof known): string {
  return `{http.vars.countersign_${name}}`;
}
