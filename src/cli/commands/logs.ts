import type { Command } from "commander";
import { setTimeout as delay } from "node:timers/promises";
import type { KeptEntry } from "../../contract/journal.ts";
import { Failure } from "../../failures/failures.ts";
import { writeLine, type Io } from "../../terminal/io.ts";
import { type ApiClient, apiClient } from "../client/api-client.ts";
import { dataOption } from "../data-option.ts";
import { writeEntry } from "../log-print.ts";

interface LogsOptions {
  readonly data?: string;
  readonly follow?: true;
  readonly since?: string;
  readonly ray?: string;
  readonly limit: string;
  readonly json?: true;
}

export function addLogsCommand(program: Command, io: Io): void {
  program
    .command("logs")
    .argument("[script]", "the Worker's name; with --ray, all are searched without it")
    .option("-f, --follow", "print new entries as they arrive, with every request")
    .option("--since <when>", "from then on: 30s, 15m, 6h, 2d, or a date (ISO 8601)")
    .option("--ray <ray>", "only this request: the id that its client got in `cf-ray`")
    .option("--limit <n>", "how many at most, the newest: 1 to 1000", "100")
    .option(...dataOption)
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      `
What a Worker writes with \`console\`, and what fails, is kept as it is. Its requests are kept where its Wrangler
configuration has \`"observability": { "enabled": true }\`, and shown while somebody reads along with --follow or \`wrangler tail\`.

Examples:
  $ countersign logs shop
  $ countersign logs shop --since 15m
  $ countersign logs shop --follow
  $ countersign logs --ray 5f2c0a9b8d7e6f10 --json`,
    )
    .action((script: string | undefined, options: LogsOptions) => logs(io, script, options));
}

async function logs(io: Io, script: string | undefined, options: LogsOptions): Promise<void> {
  const { ray, follow } = options;
  if (script === undefined && (ray === undefined || follow)) {
    throw new Failure("usage", { message: "name the Worker whose log to read" });
  }
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new Failure("usage", { message: `--limit "${options.limit}" is not from 1 to 1000` });
  }
  const since = options.since === undefined ? {} : { since: moment(options.since) };
  const query = { limit, ...since, ...(ray !== undefined && { ray }) };
  const api = await apiClient(io, options);
  if (script === undefined) return await searchAll(io, api, query, options);
  const { result, messages } = await read(api, script, { ...query, ...(follow && { follow }) });
  for (const message of messages) writeLine(io.stderr, message);
  for (const entry of result) writeEntry(io, entry, options);
  if (result.length === 0 && !follow) writeLine(io.stderr, `nothing is kept of ${script}`);
  if (follow) await goOn(io, { api, script, last: result.at(-1)?.id ?? "0", since }, options);
}

/** @throws Failure `platform_not_running` when the platform has gone */
async function goOn(
  io: Io,
  at: {
    readonly api: ApiClient;
    readonly script: string;
    last: string;
    readonly since: { readonly since?: number };
  },
  options: LogsOptions,
): Promise<never> {
  const { ray } = options;
  for (;;) {
    const { result } = await read(at.api, at.script, {
      limit: 1000,
      after: at.last,
      follow: true,
      ...at.since,
      ...(ray !== undefined && { ray }),
    });
    for (const entry of result) writeEntry(io, entry, options);
    at.last = result.at(-1)?.id ?? at.last;
    await delay(POLL);
  }
}

async function searchAll(
  io: Io,
  api: ApiClient,
  query: Query,
  options: LogsOptions,
): Promise<void> {
  const { result: scripts } = await api.call<readonly { readonly id: string }[]>(
    "GET",
    "/workers/scripts",
  );
  let count = 0;
  for (const { id } of scripts) {
    const { result } = await read(api, id, query);
    count += result.length;
    for (const entry of result) writeEntry(io, entry, { ...options, named: true });
  }
  if (count === 0) writeLine(io.stderr, `nothing is kept of the request ${options.ray}`);
}

type Query = Readonly<Record<string, string | number | boolean>>;

function read(
  api: ApiClient,
  script: string,
  query: Query,
): Promise<{ readonly result: readonly KeptEntry[]; readonly messages: readonly string[] }> {
  const search = new URLSearchParams(
    Object.entries(query).map(([name, value]) => [name, String(value)]),
  );
  const path = `/countersign/scripts/${encodeURIComponent(script)}/logs?${search.toString()}`;
  return api.call("GET", path);
}

/** Unix time in ms. @throws Failure `usage` */
function moment(text: string): number {
  const [, count, unit] = /^(\d+)\s*(s|m|h|d)$/.exec(text) ?? [];
  if (count !== undefined) return Date.now() - Number(count) * UNITS[unit as keyof typeof UNITS];
  const date = Date.parse(text);
  if (!Number.isNaN(date)) return Math.max(date, 0);
  throw new Failure("usage", {
    message: `--since "${text}" is neither a time ago, such as 15m, nor a date`,
  });
}

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** ms */
const POLL = 700;
