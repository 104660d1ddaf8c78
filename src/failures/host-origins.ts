/** Failures of hosts that an origin answers for, and no Worker. */
export const hostOriginFailures = {
  host_origin_invalid: {
    side: "caller",
    status: 400,
    number: 7000760,
    title: "the origin of the host is not valid",
    cause: "The origin is not an https:// URL without a path, or no client certificate is named.",
    fix: "Write `countersign host origin HOST --to https://10.0.0.5 --certificate NAME`.",
  },
  host_origin_taken: {
    side: "caller",
    status: 409,
    number: 7000761,
    title: "the host belongs to another account",
    cause: "Another account has a route, a zone or an origin there.",
    fix: "Choose another host, or have the other account give it up.",
  },
  host_origin_not_found: {
    side: "caller",
    status: 404,
    number: 7000762,
    title: "the host has no origin",
    cause: "None was set, or it was removed.",
    fix: "Set one with `countersign host origin HOST --to https://10.0.0.5 --certificate NAME`.",
  },
  host_origin_loop: {
    side: "caller",
    status: 508,
    number: 7000763,
    title: "the origin of this host leads back to the host",
    cause: "The request has passed this platform before: the origin sent it back to the platform.",
    fix: "Set the address of the origin itself with `countersign host origin HOST --to URL`.",
  },
} as const;
