import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Failure } from "../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../terminal/io.ts";
import { apiClient, type TypedBody } from "./client/api-client.ts";
import { Exit, exitStatus } from "./report.ts";
import { inWranglersWords } from "./wrangler-words.ts";

interface Checked {
  readonly deployable: boolean;
  readonly refusals: readonly {
    readonly code: string;
    readonly message: string;
    readonly fix: string;
  }[];
}

/**
 * Reports everything that a deploy would be refused for: wrangler bundles the project, and the platform judges the
 * bundle. Nothing is stored.
 * @param wrangler path of the project's own wrangler
 * @throws Exit with status 1 if anything is refused
 */
export async function checkDeploy(
  io: Io,
  rest: readonly string[],
  options: { readonly data?: string; readonly json?: true },
  wrangler: string,
): Promise<void> {
  const { loadWrangler } = await import("../dev/wrangler/wrangler.ts");
  const { name, later } = await inWranglersWords(io, async () =>
    (await loadWrangler(io.cwd)).readProject({
      configPath: pathOf(io, valueOf(rest, "--config", "-c")) ?? configIn(io.cwd),
      environment: valueOf(rest, "--env", "-e"),
    }),
  );
  const script = valueOf(rest, "--name") ?? name;
  if (script === null) {
    throw new Failure("usage", { message: "the Wrangler configuration gives the Worker no name" });
  }
  const form = withConfiguration(await bundle(io, wrangler, rest), later);
  const api = await apiClient(io, options);
  const path = `/countersign/scripts/${encodeURIComponent(script)}/check`;
  const { result, messages } = await api.send<Checked>("POST", path, form);
  if (options.json) writeJson(io.stdout, { name: script, api: api.api, ...result });
  else say(io, script, api.api, { ...result, messages });
  if (!result.deployable) throw new Exit(exitStatus.failed);
}

function say(
  io: Io,
  script: string,
  api: string,
  { deployable, refusals, messages }: Checked & { readonly messages: readonly string[] },
): void {
  const colors = colorsFor(io, io.stdout);
  for (const message of messages) writeLine(io.stdout, `  ${colors.dim(message)}`);
  if (deployable) {
    writeLine(io.stdout, `${colors.green("✔")} ${script} can be deployed to ${api}`);
    return;
  }
  for (const { code, message, fix } of refusals) {
    writeLine(io.stdout, `${colors.red("✘")} ${message}`);
    writeLine(io.stdout, `  ${colors.dim("do")}    ${fix}`);
    writeLine(io.stdout, `  ${colors.dim("code")}  ${code}`);
  }
  const count = refusals.length === 1 ? "1 thing" : `${refusals.length} things`;
  writeLine(io.stdout, `${script} cannot be deployed to ${api} as it is: ${count} to change`);
}

/** Makes the form that wrangler would upload. */
async function bundle(io: Io, wrangler: string, rest: readonly string[]): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-check-"));
  const file = join(folder, "upload.form");
  try {
    const argv = [wrangler, "deploy", "--dry-run", "--outfile", file, ...rest];
    const status = await quietly(io, argv);
    if (status === 0) return readFileSync(file);
    throw new Failure("wrangler_failed", {
      message: `wrangler deploy --dry-run ended with exit status ${status}`,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** wrangler's output of a dry run is shown only if it fails. */
function quietly(io: Io, argv: readonly string[]): Promise<number> {
  return new Promise((done, reject) => {
    const env = { ...io.env, WRANGLER_SEND_METRICS: "false" };
    const child = spawn(process.execPath, argv, {
      cwd: io.cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => said.push(chunk));
    }
    child.on("error", reject);
    child.on("close", (code) => {
      if (code !== 0) io.stderr.write(Buffer.concat(said).toString());
      done(code ?? 1);
    });
  });
}

function withConfiguration(form: Buffer, later: object): TypedBody {
  const boundary = form.subarray(2, form.indexOf("\r\n")).toString("latin1");
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="settings[configuration]"\r\n\r\n`;
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    bytes: Buffer.concat([Buffer.from(`${head}${JSON.stringify(later)}\r\n`), form]),
  };
}

/** The value of an option of wrangler's: `--env staging` or `--env=staging`. */
function valueOf(args: readonly string[], ...names: readonly string[]): string | undefined {
  for (const [index, arg] of args.entries()) {
    if (names.includes(arg)) return args[index + 1];
    const name = names.find((one) => one.startsWith("--") && arg.startsWith(`${one}=`));
    if (name !== undefined) return arg.slice(name.length + 1);
  }
  return undefined;
}

/**
 * The configuration that wrangler would find in the process's folder, or the one to which a build redirects from there.
 */
function configIn(folder: string): string | undefined {
  if (folder === process.cwd()) return undefined;
  const names = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
  return names.map((name) => join(folder, name)).find((path) => existsSync(path));
}

function pathOf(io: Io, path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(io.cwd, path);
}
