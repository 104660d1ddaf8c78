/** Failures of what calls a Worker without a client: cron triggers. */
export const eventFailures = {
  cron_invalid: {
    side: "caller",
    status: 400,
    number: 10100,
    title: "invalid cron string",
    cause:
      "An expression has five fields: minute, hour, day of the month, month, weekday from 1 (Sunday) to 7.",
    fix: "Correct the expression in `triggers.crons` of the Wrangler configuration and deploy again.",
  },
  cron_too_many: {
    side: "caller",
    status: 400,
    number: 10072,
    title: "the account would have more cron triggers than it may",
    cause: "An account may have 250, over all of its Workers.",
    fix: "Remove some from `triggers.crons`: one expression may name several times, such as `0 6,18 * * *`.",
  },
  cron_unknown: {
    side: "caller",
    status: 404,
    number: 7000810,
    title: "the Worker has no such cron trigger",
    cause: "The Worker has no trigger, or not the named one, or it has several and none was named.",
    fix: "List them with `countersign cron list WORKER`, or set `triggers.crons` and deploy.",
  },
  event_not_delivered: {
    side: "platform",
    status: 503,
    number: 7000811,
    title: "the Worker was not called",
    cause:
      "It is not deployed, its process did not run for 30 seconds, or the process ended during the call.",
    fix: "Read its log with `countersign logs WORKER`, and run it again with `countersign cron run WORKER`.",
  },
  events_exceeded: {
    side: "worker",
    status: 429,
    number: 7000812,
    title: "the Worker has reached its limit of scheduled runs at once",
    cause:
      "16 of its scheduled runs are running at once, because each takes longer than the time until the next.",
    fix: "Have each run do less, or run it less often.",
  },
} as const;
