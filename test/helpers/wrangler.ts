import { spawn } from "node:child_process";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A folder with a Worker's project, in which the real wrangler uses an API. */
export interface WranglerProject extends AsyncDisposable {
  readonly folder: string;
  readonly target: WranglerTarget;
  write(files: Readonly<Record<string, string | Uint8Array | object>>): Promise<void>;
  run(args: readonly string[], options?: RunOptions): Promise<WranglerRun>;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line as it is printed. */
  readonly onLine?: (line: string) => void;
}

export interface WranglerRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both streams, for messages of failed assertions. */
  readonly output: string;
}

export interface WranglerTarget {
  /** `http://…/client/v4` */
  readonly api: string;
  readonly token: string;
  /** Absent: wrangler asks the API. */
  readonly accountId?: string;
}

/** What `bin/wrangler.js` starts as a process of its own, after which it only waits. */
const wrangler = join(
  dirname(fileURLToPath(import.meta.resolve("wrangler/package.json"))),
  "wrangler-dist/cli.js",
);

/** Node's compile cache saves a fifth of a short command's time. */
const compiled = process.env["NODE_COMPILE_CACHE"];

/** Nothing of the user's own wrangler is read or written: home, configuration and logs are separate. */
export async function wranglerProject(
  target: WranglerTarget,
  files: Readonly<Record<string, string | Uint8Array | object>> = {},
): Promise<WranglerProject> {
  const root = await mkdtemp(join(tmpdir(), "countersign-wrangler-"));
  const folder = join(root, "project");
  const home = join(root, "home");
  await mkdir(folder);
  await mkdir(home);
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    XDG_CONFIG_HOME: home,
    WRANGLER_LOG_PATH: home,
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
    CI: "true",
    NO_COLOR: "1",
    CLOUDFLARE_API_BASE_URL: target.api,
    CLOUDFLARE_API_TOKEN: target.token,
    ...(target.accountId && { CLOUDFLARE_ACCOUNT_ID: target.accountId }),
    ...(compiled && { NODE_COMPILE_CACHE: compiled }),
  };
  const project: WranglerProject = {
    folder,
    target,
    write: async (more) => {
      for (const [name, content] of Object.entries(more)) {
        await mkdir(dirname(join(folder, name)), { recursive: true });
        const raw = typeof content === "string" || content instanceof Uint8Array;
        await writeFile(join(folder, name), raw ? content : JSON.stringify(content));
      }
    },
    run: (args, options = {}) => run(folder, args, { ...env, ...options.env }, options),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
  await project.write(files);
  return project;
}

function run(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { stdin = "", onLine }: RunOptions,
): Promise<WranglerRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--no-warnings", wrangler, ...args], { cwd, env });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    if (onLine) {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface(stream).on("line", onLine);
      }
    }
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ exitCode: code ?? -1, stdout, stderr, output: `${stdout}\n${stderr}` });
    });
    child.stdin.end(stdin);
  });
}
