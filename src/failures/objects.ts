/** Failures of Durable Objects: their classes, and how a script migrates them. */
export const objectFailures = {
  object_class_unconfigured: {
    side: "caller",
    status: 400,
    number: 10061,
    title: "a binding names a class that has no Durable Objects",
    cause:
      "A class has objects once a migration has created it. No migration created this class, or one has renamed, deleted or transferred it.",
    fix: "Add a migration with a new tag and the class in `new_sqlite_classes` to the Wrangler configuration, and deploy.",
  },
  object_class_not_exported: {
    side: "caller",
    status: 400,
    number: 10070,
    title: "the Worker does not export a class that has Durable Objects",
    cause: "The class was renamed or removed in the code, and its objects would be lost.",
    fix: "Export a class of this name from the main module that extends `DurableObject`, or add a migration with it in `renamed_classes` or `deleted_classes`.",
  },
  object_class_exists: {
    side: "caller",
    status: 400,
    number: 10074,
    title: "a migration creates a class that has Durable Objects already",
    cause: "A migration was applied before, or two classes would have one name.",
    fix: "Remove the class from the new migration. Leave applied migrations in the configuration as they are.",
  },
  object_class_unknown: {
    side: "caller",
    status: 400,
    number: 7000370,
    title: "a migration renames, deletes or transfers a class that has no Durable Objects",
    cause: "The class's name is wrong, or an earlier migration has renamed or deleted it.",
    fix: "Compare it with the classes that earlier migrations have created.",
  },
  object_class_bound: {
    side: "caller",
    status: 409,
    number: 7000371,
    title: "the Worker that a class is transferred from still binds it",
    cause: "Its process would have to continue without the objects.",
    fix: "Deploy that Worker without the binding, and deploy the transfer again.",
  },
  migration_tag_mismatch: {
    side: "caller",
    status: 400,
    number: 10079,
    title: "the migration does not follow the one that was applied last",
    cause:
      "Someone else has deployed a migration meanwhile, or the list of migrations was changed.",
    fix: "Have the list of migrations in the Wrangler configuration contain the tag that the message names, and deploy again.",
  },
  migration_not_deployed: {
    side: "caller",
    status: 400,
    number: 10211,
    title: "a version that is not deployed cannot migrate Durable Objects",
    cause: "A migration changes the stored objects, which all versions of the code share.",
    fix: "Deploy it with `wrangler deploy`.",
  },
  object_classes_limited: {
    side: "caller",
    status: 400,
    number: 7000372,
    title: "the account has reached its limit of classes of Durable Objects",
    cause: "An account has 500 of them, as on Cloudflare.",
    fix: "Delete unused Workers, or unused classes with `deleted_classes`.",
  },
  objects_one_version: {
    side: "caller",
    status: 400,
    number: 7000373,
    title: "a Worker with Durable Objects or Workflows runs one version at a time",
    cause:
      "All of its objects and instances are in one process, so two versions cannot share its traffic.",
    fix: "Deploy one version for all of the traffic: `wrangler versions deploy VERSION@100%`.",
  },
} as const;
