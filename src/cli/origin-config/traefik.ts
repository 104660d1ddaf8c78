import { hostPort, type OriginServer, type OriginState } from "./server.ts";

/**
 * Traefik has no rules for the content of a client certificate, so it passes connections unchanged to the sidecar,
 * which decides.
 */
export const traefik: OriginServer = {
  file: "countersign.yml",
  needsBundle: false,
  needsCrl: false,
  render: (
    state,
  ) => `# Traefik cannot decide by who calls: it passes TLS on to the sidecar, which does, and which
# follows policy, CAs and revocations by itself:
#   ${state.sidecar}
tcp:
  routers:
    countersign:
      rule: ${JSON.stringify(`HostSNI(\`${hostOf(state)}\`)`)}
      service: countersign
      tls:
        passthrough: true
  services:
    countersign:
      loadBalancer:
        servers:
          - address: ${JSON.stringify(hostPort(state.listen))}
`,
};

function hostOf({ serverName }: OriginState): string {
  return serverName?.replaceAll("`", "") ?? "*";
}
