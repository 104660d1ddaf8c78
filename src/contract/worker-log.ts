/**
 * One entry of a Worker's log, in the shape that `wrangler tail` reads, with what Countersign adds:
 * whose it is, of what kind, and the ray by which its client knows the request.
 */
export interface LogEntry {
  /** `invocation`: one call of the Worker. `console`: what it wrote without one. `failure`: ours. */
  readonly kind: "invocation" | "console" | "failure";
  readonly scriptName: string;
  readonly scriptVersion: { readonly id: string } | null;
  /** Of the request. Null: there is none, or it is not known. */
  readonly ray: string | null;
  /** Of a failure: its code in the failures table. */
  readonly code?: string;
  /** Of a failure of the gateway's: the binding, and where it led to. */
  readonly binding?: string;
  readonly origin?: string | null;
  /** The Worker's response was a failure of the gateway's, which its log has under this ray. */
  readonly gatewayRay?: string;
  /** `ok`, `exception`, `canceled`, `exceededCpu`, `exceededMemory`, `unknown`, … */
  readonly outcome: string;
  /** Unix time in ms. */
  readonly eventTimestamp: number;
  /** What called it: `{ request, response }`, `{ cron }`, … Null: nothing that is known. */
  readonly event: Readonly<Record<string, unknown>> | null;
  readonly entrypoint?: string;
  readonly logs: readonly LogLine[];
  readonly exceptions: readonly LoggedException[];
  readonly diagnosticsChannelEvents: readonly unknown[];
  /** More was logged than one request may. */
  readonly truncated: boolean;
  /** ms from the request at the ingress to the end of its response. 0: not known. */
  readonly wallTime: number;
  /** ms that its process computed meanwhile, shared by the calls at that time. 0: not known. */
  readonly cpuTime: number;
}

export interface LogLine {
  /** `debug`, `log`, `info`, `warn`, `error`. */
  readonly level: string;
  /** What was given to `console`: JSON. */
  readonly message: readonly unknown[];
  readonly timestamp: number;
}

export interface LoggedException {
  readonly name: string;
  readonly message: string;
  /** Of the original source, where a map was uploaded. */
  readonly stack?: string;
  readonly timestamp: number;
}

/** What an edge tells of a Worker. */
export interface WorkerEvent {
  readonly accountId: string;
  readonly scriptName: string;
  readonly entry: LogEntry;
  /** It is kept, and not only shown to those who follow the log right now. */
  readonly isKept: boolean;
}

/** How much of a Worker's calls its settings have kept. Absent: none. */
export interface Observability {
  /** 0 to 1, of all calls. */
  readonly samplingRate: number;
  /** Calls that logged nothing and did not fail count too. */
  readonly everyCall: boolean;
}
