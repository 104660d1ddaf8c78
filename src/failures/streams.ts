import type { FailureEntry } from "./entry.ts";

type Code =
  | "origin_mysql_no_tls"
  | "origin_mysql_refused"
  | "connect_protocol_malformed"
  | "connect_second_tls"
  | "connect_streams_exhausted"
  | "connect_idle";

/** Of a binding's `connect()`. */
export const streamFailures: Readonly<Record<Code, FailureEntry>> = {
  origin_mysql_no_tls: {
    side: "origin",
    status: 525,
    number: 7000540,
    title: "the MySQL server does not offer TLS",
    cause: "Its greeting does not offer TLS, because no certificate is configured there.",
    fix: "Set `ssl_cert`, `ssl_key` and `ssl_ca` in the server's configuration.",
  },
  origin_mysql_refused: {
    side: "origin",
    status: 525,
    number: 7000541,
    title: "the MySQL server did not begin a session",
    cause:
      "In place of its greeting it sent an error (too many connections, a blocked host), or something that is not MySQL's protocol.",
    fix: "Read the server's log; `mysqladmin flush-hosts` frees a host that it has blocked.",
  },
  connect_protocol_malformed: {
    side: "worker",
    status: 400,
    number: 7000542,
    title: "the driver's answer does not follow MySQL's protocol",
    cause: "A MySQL server speaks first. The Worker's answer was not a packet of a MySQL client.",
    fix: "Use a MySQL driver of protocol 4.1 or later on this port.",
  },
  connect_second_tls: {
    side: "worker",
    status: 400,
    number: 7000543,
    title: "the driver began TLS within the binding's TLS",
    cause:
      "The gateway already uses TLS with the server, and presents the certificate. The driver was configured to use TLS as well.",
    fix: 'Leave `ssl` off in the driver\'s options, or use the adapter of "countersign/stream".',
  },
  connect_streams_exhausted: {
    side: "worker",
    status: 503,
    number: 7000544,
    title: "the Worker has too many connections by connect()",
    cause:
      "Each Worker may have 512 of them open, or as many as `--connect-limit` says. A driver that is not ended keeps its connection until that has been idle for too long.",
    fix: "End each driver's connection, put a pool (PgBouncer) in front of the database, or raise `countersign start --connect-limit`.",
  },
  connect_idle: {
    side: "worker",
    status: 504,
    number: 7000545,
    title: "nothing was sent over the connection for too long",
    cause:
      "A connection by connect() that carries nothing for ten minutes, or as long as `--connect-idle` says, is closed.",
    fix: "Open a new one, let the protocol send its own keep-alive (PING), or raise `countersign start --connect-idle`.",
  },
};
