/** Failures of starting the platform, and of the data folder it stands on. */
export const startFailures = {
  master_key_malformed: {
    side: "platform",
    status: 500,
    number: 7000100,
    title: "the master key is malformed",
    cause: "A master key is 32 random bytes, written as base64 or as 64 hex digits.",
    fix: "Give the key that the data folder was made with; `openssl rand -base64 32` makes one for a new folder.",
  },
  master_key_wrong: {
    side: "platform",
    status: 500,
    number: 7000101,
    title: "the master key is not the one that the data was sealed with",
    cause: "The data folder was made, or last re-keyed, with another master key.",
    fix: "Start with the master key of this data folder. Nothing was overwritten.",
  },
  sealed_record_damaged: {
    side: "platform",
    status: 500,
    number: 7000102,
    title: "a sealed record does not open",
    cause: "It was altered, or moved from another record's place.",
    fix: "Restore the data folder from a backup, or upload the certificate or secret again.",
  },
} as const;
