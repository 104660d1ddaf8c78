/** Nothing of the supervisor's environment that could hold a secret, or change how TLS verifies. */
export function gatewayEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = KEPT.flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value]];
  });
  // Names are resolved on the thread pool: a slow DNS server must not hold up the others.
  return { ...Object.fromEntries(kept), UV_THREADPOOL_SIZE: "128" };
}

const KEPT = ["PATH", "TZ", "LANG", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];
