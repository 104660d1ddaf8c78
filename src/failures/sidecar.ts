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
      "It is missing, this user cannot read it, or it has the wrong content. While the sidecar runs, such a file changes nothing.",
    fix: "Correct the file that is named.",
  },
  origin_config_inexpressible: {
    side: "caller",
    status: 400,
    number: 7000662,
    title: "the policy has a rule that this server cannot check",
    cause:
      "Servers see different parts of a certificate. nginx and HAProxy see no SPIFFE ID, nginx sees no SHA-256 fingerprint, Envoy sees no subject.",
    fix: "Name the caller in that rule by `worker`, or put `countersign origin serve` before the service.",
  },
  origin_config_exec_failed: {
    side: "platform",
    status: 500,
    number: 7000663,
    title: "the command that reloads the server failed",
    cause:
      "It ended with an exit status other than 0. The new files are written, but the server still runs with the old ones.",
    fix: "Run the command by hand. With `--follow` it is tried again.",
  },
  ingress_config_malformed: {
    side: "platform",
    status: 500,
    number: 7000664,
    title: "these options do not make a proxy's configuration",
    cause:
      "One of them has the wrong form, contradicts another one, or has a character that the server could misread.",
    fix: "Look at `countersign ingress config --help`. Paths are made of letters, digits and `. _ / @ + = -`.",
  },
} as const;
