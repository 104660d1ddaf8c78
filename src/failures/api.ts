/** Failures of a request to the control plane that are not about one certificate or one Worker. */
export const apiFailures = {
  internal: {
    side: "platform",
    status: 500,
    number: 7000000,
    title: "internal error",
    cause: "Countersign met a condition it was not written for. Nothing was changed.",
    fix: "Look for the reference in the log of `countersign start` and report it.",
  },
} as const;
