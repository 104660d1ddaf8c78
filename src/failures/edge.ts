/** Failures of starting a Worker, and of reaching one that should run. */
export const edgeFailures = {
  worker_start_failed: {
    side: "worker",
    status: 400,
    number: 10021,
    title: "the Worker does not start",
    cause:
      "Its modules threw while they were evaluated, or the runtime refused them or a compatibility flag.",
    fix: "Correct the line that is named and deploy again. What ran before goes on untouched.",
  },
  worker_start_timeout: {
    side: "worker",
    status: 400,
    number: 7000300,
    title: "the Worker did not start in time",
    cause: "Its modules take too long to evaluate, often an endless loop outside of any handler.",
    fix: "Move the work into a handler and deploy again. What ran before goes on untouched.",
  },
  worker_unavailable: {
    side: "worker",
    status: 503,
    number: 7000301,
    title: "the Worker is not running",
    cause: "Its process ended or never started; it is started again with growing pauses.",
    fix: "Try again shortly. The reason is in the log of `countersign start` and in its status.",
  },
  worker_connection_lost: {
    side: "worker",
    status: 502,
    number: 7000302,
    title: "the Worker's process ended before it answered",
    cause: "It crashed, ran out of memory, or was killed while it worked on this request.",
    fix: "Look for the reason in the log of `countersign start`. The request was not sent again.",
  },
  host_unknown: {
    side: "caller",
    status: 404,
    number: 7000303,
    title: "no Worker answers for this host",
    cause: "No deployed Worker has this host or a route that matches this URL.",
    fix: "Deploy a Worker with `npx countersign deploy`; it prints the URL that answers.",
  },
  host_malformed: {
    side: "caller",
    status: 400,
    number: 7000304,
    title: "the request names no host",
    cause: "The Host header or the request's target is not a host name.",
    fix: "Send a Host header with the name of the Worker's host.",
  },
  service_not_deployed: {
    side: "worker",
    status: 503,
    number: 7000305,
    title: "the bound service is not deployed",
    cause:
      "A service binding names a Worker that is not deployed, or an entrypoint that it does not export.",
    fix: "Deploy the Worker that the binding names, or correct `services` in `wrangler.jsonc`.",
  },
  edge_process_failed: {
    side: "platform",
    status: 500,
    number: 7000306,
    title: "a process of the edge does not start",
    cause: "The gateway or the ingress ended while it started: the log says why.",
    fix: "Free the port that the log names, or start with another one.",
  },
} as const;
