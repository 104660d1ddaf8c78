/** Failures of static assets, before any of them is served. */
export const assetFailures = {
  assets_manifest_invalid: {
    side: "caller",
    status: 400,
    number: 7000390,
    title: "the list of static assets is not valid",
    cause:
      "A path leads out of the folder, is not a valid file name, or is a file and a folder at once; or two files with the same hash differ in size.",
    fix: "Rename the file that the message names, and deploy again.",
  },
  assets_session_unknown: {
    side: "caller",
    status: 401,
    number: 7000391,
    title: "the upload of static assets has ended, or was never started",
    cause: "An upload lasts an hour, and belongs to one Worker; the account's newest ten are kept.",
    fix: "Deploy again: `wrangler deploy` begins a new upload, and sends only what is missing.",
  },
  asset_unexpected: {
    side: "caller",
    status: 400,
    number: 7000392,
    title: "a static asset is not on the list that was sent first",
    cause:
      "Its hash is not on the upload's list, or its size differs from the list: the file changed meanwhile.",
    fix: "Deploy again when no program writes to the folder of the assets.",
  },
  assets_incomplete: {
    side: "caller",
    status: 400,
    number: 7000393,
    title: "not all static assets were uploaded",
    cause: "The upload was finished before its last file was sent.",
    fix: "Deploy again: `wrangler deploy` sends what is missing.",
  },
  assets_missing: {
    side: "caller",
    status: 400,
    number: 7000394,
    title: "there are no static assets to serve",
    cause: "The version binds or configures static assets, and none were uploaded for it.",
    fix: "Set `assets.directory` in the Wrangler configuration, or remove `assets`.",
  },
  assets_too_large: {
    side: "caller",
    status: 413,
    number: 7000395,
    title: "the static assets exceed what the account may store",
    cause:
      "Files of all versions that a rollback can reach count, each content once, and so do uploads of the last hour.",
    fix: "Deploy fewer or smaller files, and keep large ones in an R2 bucket.",
  },
  assets_lost: {
    side: "platform",
    status: 500,
    number: 7000396,
    title: "a static asset is no longer on this machine",
    cause: "A file below `storage` in the data folder was removed, or a backup was incomplete.",
    fix: "Deploy the Worker again with `wrangler deploy`: it uploads what is missing.",
  },
} as const;
