/** Failures of local development and tests, on the developer's own machine. */
export const devFailures = {
  dev_wrangler_missing: {
    side: "caller",
    status: 500,
    number: 7000500,
    title: "wrangler is not installed in this project",
    cause:
      "`countersign dev` runs the wrangler of the project, and none was found from its folder.",
    fix: "Run `npm install --save-dev wrangler` in the project.",
  },
  dev_wrangler_unsupported: {
    side: "caller",
    status: 500,
    number: 7000501,
    title: "this version of wrangler is not supported",
    cause:
      "Its development server is started and extended in a way that this version does not offer.",
    fix: "Install a supported one: `npm install --save-dev wrangler@4`.",
  },
  dev_file_invalid: {
    side: "caller",
    status: 400,
    number: 7000502,
    title: "countersign.json is not valid",
    cause: "It is not JSON, or it has a field that is unknown or of another type.",
    fix: "Correct the line that the message names. The JSON Schema `node_modules/countersign/assets/countersign.schema.json` lists every field.",
  },
  dev_option_malformed: {
    side: "caller",
    status: 400,
    number: 7000503,
    title: "an option is malformed",
    cause: "Its value does not have the form that the option needs.",
    fix: "Run the command with `--help` to see the form.",
  },
  dev_binding_unknown: {
    side: "caller",
    status: 400,
    number: 7000504,
    title: "the project has no mTLS binding of this name",
    cause:
      "The Wrangler configuration of this environment lists other `mtls_certificates`, or none.",
    fix: "Add the binding to `mtls_certificates` (in the environment's own section: it is not inherited), or run `countersign init`.",
  },
  dev_certificate_missing: {
    side: "caller",
    status: 400,
    number: 7000505,
    title: "no certificate was found for a binding",
    cause:
      "countersign.json names a certificate that the running platform does not have, or no platform runs.",
    fix: "Start the platform with `countersign start`, or give files: `countersign dev --cert BINDING=cert.pem,key.pem`.",
  },
  dev_file_unreadable: {
    side: "caller",
    status: 400,
    number: 7000506,
    title: "a file could not be read",
    cause:
      "It does not exist, this user may not read it, or it is something else than a file, such as a folder or a named pipe.",
    fix: "Check the path (it is relative to the Wrangler configuration) and its permissions.",
  },
  dev_authority_broken: {
    side: "caller",
    status: 500,
    number: 7000507,
    title: "the development CA in .countersign/ cannot be used",
    cause: "Its certificate and key do not belong together, or one of them was altered or removed.",
    fix: "Delete the folder `.countersign` and start again: a new development CA is made.",
  },
  dev_port_in_use: {
    side: "caller",
    status: 409,
    number: 7000508,
    title: "the port is in use",
    cause: "Another program listens on it, perhaps an earlier `countersign dev`.",
    fix: "Stop the other program, or choose another port with `--port` (0 takes a free one).",
  },
  dev_project_missing: {
    side: "caller",
    status: 400,
    number: 7000509,
    title: "there is no Wrangler project here",
    cause: "The folder has no wrangler.jsonc, wrangler.json or wrangler.toml.",
    fix: "Go to the project's folder, or name its configuration with `--config`.",
  },
  dev_database_missing: {
    side: "caller",
    status: 500,
    number: 7000511,
    title: "no PostgreSQL that could be started is installed",
    cause:
      "`initdb`, `postgres` and `psql` are neither below /usr/lib/postgresql nor in PATH, or there is no user `postgres` for them while you are root.",
    fix: "Install it (Debian: `apt-get install postgresql`), or set `localConnectionString` to a database that you have.",
  },
  dev_database_failed: {
    side: "caller",
    status: 500,
    number: 7000512,
    title: "PostgreSQL did not start",
    cause: "The message has its last words.",
    fix: "Do what it says. `countersign dev database --port 0` chooses another port.",
  },
  dev_database_malformed: {
    side: "caller",
    status: 400,
    number: 7000510,
    title: "a database's connection string is malformed",
    cause:
      "`localConnectionString`, `database` of countersign.json or of `mtls()`, or CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_… is no URL of a PostgreSQL or MySQL database with host, user and name. In `mtls()` it has to ask for TLS, too.",
    fix: "Write it like `postgres://user:password@localhost:5432/name?sslmode=verify-full`, with `%25` for a % in a password.",
  },
} as const;
