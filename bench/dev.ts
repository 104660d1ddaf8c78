import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAuthority } from "../src/dev/authority.ts";
import { startDevOrigin } from "../src/dev/origin.ts";

// `countersign dev` and `wrangler dev` on the same project: time from the command to the first answer, and from an edit
// to an answer that shows it. Rounds alternate; the report has medians.
//
// ¦  node bench/dev.ts [--rounds N] [--json FILE]

interface Subject {
  readonly name: string;
  readonly args: readonly string[];
}

interface Round {
  /** ms from the command to the first answer of the Worker. */
  readonly first: number;
  /** ms from the command to the first answer that came over mTLS. */
  readonly firstMtls: number | null;
  /** ms from an edit to an answer that shows it. */
  readonly edit: number;
}

const repository = join(import.meta.dirname, "..");
const subjects: readonly Subject[] = [
  { name: "countersign dev", args: [join(repository, "bin", "countersign.js"), "dev"] },
  {
    name: "wrangler dev",
    args: [join(repository, "node_modules/wrangler/bin/wrangler.js"), "dev"],
  },
];

async function run({ name, args }: Subject): Promise<Round> {
  const folder = await mkdtemp(join(tmpdir(), "cs-bench-"));
  try {
    await cp(join(repository, "examples", "hono-mtls"), folder, { recursive: true });
    await symlink(join(repository, "node_modules"), join(folder, "node_modules"));
    const source = join(folder, "src", "index.ts");
    const text = await readFile(source, "utf8");
    const answering = (answer: string): Promise<void> =>
      writeFile(source, `${text}\napp.get("/", (c) => c.text("${answer}"));\n`);
    await answering("first");
    await using origin = await startDevOrigin({ authority: await openAuthority(folder) });
    const started = performance.now();
    const child = spawn(
      process.execPath,
      [...args, "--port", "0", "--inspector-port", "0", "--var", `ORIGIN:${origin.url}`],
      {
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          NO_COLOR: "1",
          // Countersign sets these itself; without them, wrangler may wait for the internet.
          CLOUDFLARE_CF_FETCH_ENABLED: "false",
          WRANGLER_SEND_METRICS: "false",
          WRANGLER_REGISTRY_PATH: join(folder, ".registry"),
        },
      },
    );
    try {
      const url = await readyUrl(child.stdout, child.stderr);
      await until(url, "first");
      const first = performance.now() - started;
      let firstMtls: number | null = null;
      if (name === "countersign dev") {
        await until(`${url}/mtls-request`, "CN=APP_CERT");
        firstMtls = performance.now() - started;
      }
      const edited = performance.now();
      await answering("second");
      await until(url, "second");
      return { first, firstMtls, edit: performance.now() - edited };
    } finally {
      child.kill("SIGTERM");
      await once(child, "close");
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function readyUrl(...streams: readonly NodeJS.ReadableStream[]): Promise<string> {
  return new Promise((resolve) => {
    let output = "";
    for (const stream of streams) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        const [, url] = /Ready on (http\S+)/.exec(output) ?? [];
        if (url) resolve(url);
      });
    }
  });
}

async function until(url: string, text: string): Promise<void> {
  while (!(await (await fetch(url)).text()).includes(text));
}

function option(name: string): string | undefined {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? Number.NaN);
}

const rounds = new Map<string, Round[]>(subjects.map(({ name }) => [name, []]));
for (let round = 0; round < Number(option("--rounds") ?? 5); round += 1) {
  for (const subject of subjects) rounds.get(subject.name)?.push(await run(subject));
}
const rows = [...rounds].map(([subject, all]) => ({
  subject,
  first_answer_ms: median(all.map(({ first }) => first)),
  first_mtls_answer_ms: all.every(({ firstMtls }) => firstMtls === null)
    ? null
    : median(all.map(({ firstMtls }) => firstMtls ?? Number.NaN)),
  edit_to_live_ms: median(all.map(({ edit }) => edit)),
}));
console.table(rows);
const [own, wrangler] = rows as [(typeof rows)[number], (typeof rows)[number]];
const aims = [
  {
    name: "first answer over mTLS after `countersign dev`",
    aim: "< 3000 ms",
    measured: own.first_mtls_answer_ms,
    holds: (own.first_mtls_answer_ms ?? Number.POSITIVE_INFINITY) < 3000,
  },
  {
    name: "edit to live, against `wrangler dev`",
    aim: "≤ 1.1",
    measured: Number((own.edit_to_live_ms / wrangler.edit_to_live_ms).toFixed(2)),
    holds: own.edit_to_live_ms <= 1.1 * wrangler.edit_to_live_ms,
  },
];
console.table(aims);
const file = option("--json");
if (file) await writeFile(file, `${JSON.stringify({ rows, aims }, null, 2)}\n`);
