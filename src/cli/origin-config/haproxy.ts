import { CLEAR_PATH } from "./pattern.ts";
import { serverRules, type Fact, type ServerRule, type Sight } from "./rules.ts";
import {
  refusalAnswer,
  hostPort,
  type OriginServer,
  type OriginState,
  type RefusalCode,
  singleQuoted as quoted,
} from "./server.ts";

const sight: Sight = {
  server: "HAProxy",
  worker: "subject",
  facts: ["subject", "issuer", "fingerprint"],
  names: "hex-in-name",
};

export const haproxy: OriginServer = {
  file: "countersign.cfg",
  needsBundle: true,
  needsCrl: false,
  render: (state) => {
    const rules = serverRules(state.policy.allow, sight, state.account).map(asked);
    return `${[...head(state), ...rules.flatMap(({ lines }) => lines), ...decisions(rules, state.revoked.length > 0), ...tail(state)].join("\n")}\n`;
  },
};

const samples: Partial<Record<Fact, string>> = {
  subject: "ssl_c_s_dn(,0,rfc2253)",
  issuer: "ssl_c_i_dn(,0,rfc2253)",
  fingerprint: "ssl_c_der,sha2(256),hex,lower",
};

interface Asked {
  /** `acl …` */
  readonly lines: readonly string[];
  /** Names of ACLs, all of which must hold. */
  readonly caller: readonly string[];
  readonly method: readonly string[];
  readonly path: readonly string[];
}

/** A rule as ACLs. Lines with the same name are alternatives. */
function asked({ caller, methods, paths }: ServerRule, index: number): Asked {
  const name = `countersign_${index}`;
  const method = `${name}_method`;
  const path = `${name}_path`;
  return {
    lines: [
      "",
      ...caller.map(
        ({ fact, pattern }, i) =>
          `  acl ${name}_caller_${i} ${samples[fact]} -m reg '^(?:${pattern})\\z'`,
      ),
      ...(methods ?? []).map((one) => `  acl ${method} method -m str -- ${quoted(one)}`),
      ...(paths ?? []).map(({ text, pattern, isPrefix }) =>
        text.includes("%")
          ? `  acl ${path} path -m reg '^${pattern}${isPrefix ? "" : String.raw`\z`}'`
          : `  acl ${path} path -m ${isPrefix ? "beg" : "str"} -- ${quoted(text)}`,
      ),
    ],
    caller: caller.map((_, i) => `${name}_caller_${i}`),
    method: methods === null ? [] : [method],
    path: paths === null ? [] : ["countersign_clear", path],
  };
}

function head({ listen, cert, bundleFile, revoked }: OriginState): string[] {
  const bind = [
    `  bind ${hostPort(listen)} ssl crt ${quoted(cert)} ca-file ${quoted(bundleFile)}`,
    // The handshake succeeds in any case, so a refused caller gets the reason as an answer.
    "verify optional ca-ignore-err all crt-ignore-err all",
    "ssl-min-ver TLSv1.2 no-tls-tickets alpn h2,http/1.1",
  ];
  return [
    "# The key stands in the certificate's file, or beside it in a file with .key at its end.",
    "frontend countersign",
    "  mode http",
    "  timeout client 60s",
    "  timeout http-request 30s",
    bind.join(" "),
    "",
    "  # A path that can be read in one way only.",
    `  acl countersign_clear path -m reg '^${CLEAR_PATH}\\z'`,
    ...revoked.map((serial) => `  acl countersign_revoked ssl_c_serial,hex -m str ${even(serial)}`),
  ];
}

function decisions(rules: readonly Asked[], isAnyRevoked: boolean): string[] {
  const mark = (what: string, of: (rule: Asked) => readonly string[]): string[] =>
    rules.map(
      (rule) =>
        `  http-request set-var(txn.countersign_${what}) bool(true) if ${of(rule).join(" ")}`,
    );
  return [
    "",
    deny("certificate_missing", "!{ ssl_c_used }"),
    deny("certificate_not_yet_valid", "{ ssl_c_verify 9 }"),
    deny("certificate_expired", "{ ssl_c_verify 10 }"),
    deny("certificate_untrusted", "!{ ssl_c_verify 0 }"),
    ...(isAnyRevoked ? [deny("certificate_revoked", "countersign_revoked")] : []),
    ...mark("named", ({ caller }) => caller),
    ...mark("method", ({ caller, method }) => [...caller, ...method]),
    ...mark("path", ({ caller, method, path }) => [...caller, ...method, ...path]),
    deny("caller_not_named", unless("named")),
    deny("method_not_allowed", unless("method")),
    deny("path_not_allowed", unless("path")),
  ];
}

function unless(what: string): string {
  return `!{ var(txn.countersign_${what}) -m bool }`;
}

function tail({ to }: OriginState): string[] {
  return [
    "",
    "  # What a client itself says of a certificate is dropped.",
    // CGI and its successors do not tell other marks from "-". HAProxy has names in lower case.
    ...["x-countersign-", "client-cert", "x-forwarded-client-cert", "x-ssl-client-"].map(
      (name) => `  http-request del-header '^${name.replaceAll("-", "[^a-z0-9]")}' -m reg`,
    ),
    "  http-request set-header X-Countersign-Worker %[ssl_c_s_dn(CN),url_enc]",
    "  http-request set-header X-Countersign-Account %[ssl_c_s_dn(O),url_enc]",
    "  http-request set-header X-SSL-Client-DER %[ssl_c_der,base64]",
    "  http-request set-header X-SSL-Client-Verify %[ssl_c_verify]",
    "  default_backend countersign_service",
    "",
    "backend countersign_service",
    "  mode http",
    "  timeout connect 5s",
    "  timeout server 60s",
    `  server service ${hostPort(to)}`,
  ];
}

function deny(code: RefusalCode, condition: string): string {
  const status = code.startsWith("certificate_") ? 401 : 403;
  return `  http-request deny deny_status ${status} content-type application/json string '${refusalAnswer(code)}' if ${condition}`;
}

/** HAProxy writes whole bytes, so the number of digits is even. */
function even(serial: string): string {
  return serial.length % 2 === 0 ? serial : `0${serial}`;
}
