import type { ShownDetails } from "../failures/rendered.ts";
/** How the gateway connects. The gateway process gets all of it when it starts. */
export interface GatewayOptions {
  readonly addresses: AddressOptions;
  readonly timeouts: GatewayTimeouts;
  /** Trust the operating system's CAs besides the public roots that come with Node. Default: false. */
  readonly useSystemRoots: boolean;
  /**
   * Hosts (`old.example`, `*.old.example`) that may choose a TLS 1.2 cipher suite without forward
   * secrecy or AEAD. Default: none.
   */
  readonly unsafeOldTls: readonly string[];
  /** Port on 127.0.0.1 for Prometheus; 0 for a free one. Null: none. Default: null. */
  readonly metricsPort: number | null;
  /** Base URL of an OTLP/HTTP collector for spans of requests. Null: none. Default: null. */
  readonly otlpEndpoint: string | null;
  /**
   * What the body of a failure says, which Workers often pass on to their clients. `public`:
   * everything, with hosts, addresses and issuers. `owner`: code, title and ray; the rest is in the
   * log. Default: `public`; the platform's is `owner`.
   */
  readonly failureDetails: ShownDetails;
  /** Default: `info`. */
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /**
   * Connections to one origin for one binding, 1 to 65,535. Further requests wait. Default: 512.
   */
  readonly connections: number;
  /** Resume TLS sessions, within one pool and for 10 minutes at most. Default: true. */
  readonly resumption: boolean;
  /** Offer HTTP/2 to origins. Default: true. */
  readonly http2: boolean;
  /**
   * Ports on which `connect()` requests TLS as PostgreSQL needs it, before the handshake. On other
   * ports, the first connection finds out. Default: 5432.
   */
  readonly postgresPorts: readonly number[];
  /** The same for MySQL and MariaDB, whose servers speak first. Default: 3306. */
  readonly mysqlPorts: readonly number[];
  /** Connections of `connect()` that one Worker may have open, above 0. Default: 512. */
  readonly streams: number;
  /** Connections that Workers may have to one binding. Default: 1,024. */
  readonly bindingConnections: number;
  /** The same to all bindings of one Worker. Default: 2,048. */
  readonly workerConnections: number;
  /** The same to all bindings of one account. Default: 8,192. */
  readonly accountConnections: number;
  /** Names that are looked up at once for one binding. Default: 2. */
  readonly bindingLookups: number;
  /** Names that are looked up at once for one account, and half of them for a Worker. Default: 12. */
  readonly accountLookups: number;
  /** How many `openssl` programs may run at once to find out what an origin accepts. Default: 2. */
  readonly explanations: number;
}

/** Which addresses bindings may connect to. The longest prefix that matches decides. */
export interface AddressOptions {
  /** CIDR ranges or addresses. They win over the defaults, e.g. `127.0.0.0/8` in development. */
  readonly allow: readonly string[];
  /** CIDR ranges or addresses. They win over everything. */
  readonly deny: readonly string[];
  /** Loopback is allowed too. Default: false. */
  readonly development: boolean;
  /** Ports of the platform itself, denied on this machine's addresses. */
  readonly denyLocalPorts: readonly number[];
  /**
   * Host of a URL → `host:port` that is connected to instead. The name that is verified and sent
   * stays. For development and tests. Default: none.
   */
  readonly hosts?: Readonly<Record<string, string>>;
}

/** All in milliseconds, above 0. */
export interface GatewayTimeouts {
  /** For the name. Default: 5,000. */
  readonly dns: number;
  /** For TCP. Default: 10,000. */
  readonly connect: number;
  /** For TLS. Default: 10,000. */
  readonly handshake: number;
  /** From the end of the request to the response's header. Default: 100,000, as on Cloudflare. */
  readonly headers: number;
  /** Between two pieces of the response's body; without taking anything of what is sent to it. Default: 300,000. */
  readonly body: number;
  /** An idle connection is kept for. An origin's own `Keep-Alive` shortens it. Default: 30,000. */
  readonly idle: number;
  /** A connection of `connect()` that carries nothing is closed after. Default: 600,000. */
  readonly stream: number;
  /**
   * A connection is used for, more or less a tenth; then requests go over a new one, and those in
   * flight end on the old one. So a busy origin's change of DNS is followed. Default: 600,000.
   */
  readonly life: number;
  /** A connection to a database may be idle for. Default: 600,000. */
  readonly session: number;
  /** A closed binding may finish what is in flight for. Default: 30,000. */
  readonly drain: number;
}

export const defaultOptions: GatewayOptions = {
  addresses: { allow: [], deny: [], development: false, denyLocalPorts: [] },
  timeouts: {
    dns: 5_000,
    connect: 10_000,
    handshake: 10_000,
    headers: 100_000,
    body: 300_000,
    idle: 30_000,
    stream: 600_000,
    life: 600_000,
    session: 600_000,
    drain: 30_000,
  },
  useSystemRoots: false,
  unsafeOldTls: [],
  metricsPort: null,
  otlpEndpoint: null,
  failureDetails: "public",
  logLevel: "info",
  connections: 512,
  resumption: true,
  http2: true,
  postgresPorts: [5432],
  mysqlPorts: [3306],
  streams: 512,
  bindingConnections: 1_024,
  workerConnections: 2_048,
  accountConnections: 8_192,
  bindingLookups: 2,
  accountLookups: 12,
  explanations: 2,
};
