/** Failures of `countersign origin serve`, `countersign origin config` and `countersign ingress config`. Those of one request are the sidecar's own answers. */
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
  origin_config_inexpressible: {
    side: "caller",
    status: 400,
    number: 7000662,
    title: "the policy asks for something that this server cannot see",
    cause:
      "Servers see different parts of a certificate: nginx and HAProxy no SPIFFE ID, nginx no SHA-256 fingerprint, Envoy no subject.",
    fix: "Name the caller in that rule by `worker`, or put `countersign origin serve` before the service.",
  },
  origin_config_exec_failed: {
    side: "platform",
    status: 500,
    number: 7000663,
    title: "the command that reloads the server failed",
    cause:
      "It ended with an exit status other than 0. The files are written, and the server still runs with what it had.",
    fix: "Run the command by hand. With `--follow` it is tried again.",
  },
  ingress_config_malformed: {
    side: "platform",
    status: 500,
    number: 7000664,
    title: "a proxy cannot be configured by these options",
    cause:
      "One of them has the wrong form, does not go together with the others, or has a character that a server could read as more than a part of a name.",
    fix: "Look at `countersign ingress config --help`. Paths are made of letters, digits and `. _ / @ + = -`.",
  },
} as const;
