/** Failures of `countersign origin serve`. Those of one request are the sidecar's own answers. */
export const sidecarFailures = {
  sidecar_option_malformed: {
    side: "platform",
    status: 500,
    number: 7000660,
    title: "an option of the sidecar cannot be used",
    cause: "It has the wrong form, or does not go together with the others.",
    fix: "Look at `countersign origin serve --help`.",
  },
  sidecar_file_unusable: {
    side: "platform",
    status: 500,
    number: 7000661,
    title: "a file of the sidecar cannot be used",
    cause:
      "It is missing, cannot be read by this user, or does not hold what it is given for. Once the sidecar runs, such a file changes nothing.",
    fix: "Correct the file that is named.",
  },
} as const;
