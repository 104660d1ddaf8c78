import { CLEAR_PATH } from "./pattern.ts";
import { serverRules, type Condition, type ServerRule, type Sight } from "./rules.ts";
import type { OriginServer, OriginState } from "./server.ts";

const sight: Sight = { server: "Envoy", worker: "uri", facts: ["uri"], names: "raw" };

const TYPE = "type.googleapis.com/envoy.extensions";

export const envoy: OriginServer = {
  file: "countersign.json",
  needsBundle: false,
  needsCrl: true,
  render: (state) => {
    const rules = serverRules(state.policy.allow, sight, state.account);
    return `${JSON.stringify(bootstrap(rules, state), null, 2)}\n`;
  },
};

function bootstrap(rules: readonly ServerRule[], state: OriginState): object {
  return {
    static_resources: {
      listeners: [listener(rules, state)],
      clusters: [
        {
          name: "countersign_service",
          type: /[a-z]/i.test(state.to.host) ? "STRICT_DNS" : "STATIC",
          connect_timeout: "5s",
          load_assignment: {
            cluster_name: "countersign_service",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(state.to) } }] }],
          },
        },
      ],
    },
    // Patterns of paths are longer than Envoy's default limit.
    layered_runtime: {
      layers: [
        {
          name: "countersign",
          static_layer: {
            re2: { max_program_size: { error_level: 100_000, warn_level: 100_000 } },
          },
        },
      ],
    },
  };
}

function socketAddress({ host, port }: OriginState["to"]): object {
  return { socket_address: { address: host, port_value: port } };
}

function listener(rules: readonly ServerRule[], state: OriginState): object {
  return {
    name: "countersign",
    address: socketAddress(state.listen),
    filter_chains: [
      {
        transport_socket: {
          name: "envoy.transport_sockets.tls",
          typed_config: {
            "@type": `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
            require_client_certificate: true,
            // Without resumption, each handshake verifies the certificate, so nothing that was revoked is resumed.
            disable_stateless_session_resumption: true,
            disable_stateful_session_resumption: true,
            common_tls_context: {
              alpn_protocols: ["h2", "http/1.1"],
              tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
              tls_certificates: [
                {
                  certificate_chain: { filename: state.cert },
                  private_key: { filename: state.key },
                },
              ],
              validation_context: {
                trusted_ca: { inline_string: state.authorities.join("\n") },
                ...(state.crl !== null && {
                  crl: { inline_string: state.crl },
                  only_verify_leaf_cert_crl: true,
                }),
              },
            },
          },
        },
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: connectionManager(rules),
          },
        ],
      },
    ],
  };
}

function connectionManager(rules: readonly ServerRule[]): object {
  return {
    "@type": `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "countersign",
    forward_client_cert_details: "SANITIZE_SET",
    set_current_client_cert_details: { uri: true, cert: true, subject: true },
    // A connection whose certificate has expired or was revoked ends after this time.
    // CGI and its successors do not tell "_" from "-": a caller's x_countersign_worker is dropped.
    common_http_protocol_options: {
      max_connection_duration: "300s",
      headers_with_underscores_action: "DROP_HEADER",
    },
    upgrade_configs: [{ upgrade_type: "websocket" }],
    route_config: {
      virtual_hosts: [
        {
          name: "countersign",
          domains: ["*"],
          request_headers_to_remove: [
            "x-countersign-worker",
            "x-countersign-account",
            "x-countersign-environment",
            "x-countersign-spiffe-id",
            "client-cert",
          ],
          routes: [
            { match: { prefix: "/" }, route: { cluster: "countersign_service", timeout: "0s" } },
          ],
        },
      ],
    },
    http_filters: [
      {
        name: "envoy.filters.http.rbac",
        typed_config: {
          "@type": `${TYPE}.filters.http.rbac.v3.RBAC`,
          // Without a rule, nobody is let in.
          rules: {
            action: "ALLOW",
            policies: Object.fromEntries(rules.map((rule, i) => [`rule-${i}`, policyOf(rule)])),
          },
        },
      },
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": `${TYPE}.filters.http.router.v3.Router` },
      },
    ],
  };
}

function policyOf({ caller, methods, paths }: ServerRule): object {
  const all = [
    ...(methods === null
      ? []
      : [
          anyRule(
            methods.map((exact) => ({ header: { name: ":method", string_match: { exact } } })),
          ),
        ]),
    ...(paths === null
      ? []
      : [
          pathRule(CLEAR_PATH),
          anyRule(
            paths.map(({ pattern, isPrefix }) => pathRule(`${pattern}${isPrefix ? ".*" : ""}`)),
          ),
        ]),
  ];
  return {
    permissions: [all.length === 0 ? { any: true } : { and_rules: { rules: all } }],
    principals: [{ and_ids: { ids: caller.map(principal) } }],
  };
}

function principal({ pattern, not }: Condition): object {
  const id = {
    authenticated: { principal_name: { safe_regex: { regex: pattern } } },
  };
  return not ? { not_id: id } : id;
}

function anyRule(rules: readonly object[]): object {
  return { or_rules: { rules } };
}

/** Matches the whole path, without the query. */
function pathRule(regex: string): object {
  return { url_path: { path: { safe_regex: { regex } } } };
}
