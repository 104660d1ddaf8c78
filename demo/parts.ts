import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { once } from "node:events";
import { say } from "./steps.ts";

const root = join(import.meta.dirname, "..");

/** The line that `countersign start --json` prints once it is ready. */
export interface Ready {
  readonly api: string;
  readonly http: string;
  readonly accountId: string;
  readonly token: string;
}

export interface Platform extends AsyncDisposable {
  readonly ready: Ready;
}

/** The real CLI, on free ports, in a temporary folder that goes with it. */
export async function startPlatform(): Promise<Platform> {
  const data = mkdtempSync(join(tmpdir(), "countersign-demo-"));
  const child = spawn(
    process.execPath,
    [
      join(root, "bin", "countersign.js"),
      ...["start", "--dev", "--json", "--data", data, "--api-port", "0", "--http-port", "0"],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, "close");
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    rmSync(data, { recursive: true, force: true });
  };
  const first = await Promise.race([
    once(createInterface(child.stdout), "line") as Promise<[string]>,
    ended.then(() => null),
  ]);
  if (first === null) {
    await stop();
    throw new Error(`countersign start ended before it was ready:\n${log}`);
  }
  return { ready: JSON.parse(first[0]) as Ready, [Symbol.asyncDispose]: stop };
}

export interface Project {
  readonly folder: string;
  edit(file: string, change: (text: string) => string): void;
  remove(): void;
}

/** A copy of an example, with what a newcomer would have beside it: dependencies and PEM files. */
export function copyExample(name: string, files: Readonly<Record<string, string>>): Project {
  const folder = mkdtempSync(join(tmpdir(), `countersign-${name}-`));
  cpSync(join(root, "examples", name), folder, { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(folder, file), text, { mode: 0o600 });
  }
  return {
    folder,
    edit: (file, change) => {
      const path = join(folder, file);
      writeFileSync(path, change(readFileSync(path, "utf8")));
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Runs the unmodified wrangler, shows what it prints as it prints it, and returns that. */
export async function wrangler(
  platform: Platform,
  project: Project,
  argv: readonly string[],
): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  const child = spawn(process.execPath, [join(dirname(manifest), "bin", "wrangler.js"), ...argv], {
    cwd: project.folder,
    env: {
      ...process.env,
      CLOUDFLARE_API_BASE_URL: platform.ready.api,
      CLOUDFLARE_API_TOKEN: platform.ready.token,
      CLOUDFLARE_ACCOUNT_ID: platform.ready.accountId,
      WRANGLER_SEND_METRICS: "false",
      XDG_CONFIG_HOME: join(project.folder, ".config"),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => {
      output += `${line}\n`;
      if (line.trim() !== "") say(line);
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`wrangler ${argv.join(" ")} ended with exit status ${code}`);
  return output;
}

/**
 * As `curl http://{script}.localhost:PORT{path}`. Names under localhost are loopback (RFC 6761),
 * which curl and browsers know and Node's resolver may not, so the address is given to it.
 */
export async function requestWorker(
  platform: Platform,
  script: string,
  path: string,
): Promise<{ url: string; status: number; body: string }> {
  const { hostname, port } = new URL(platform.ready.http);
  const host = `${script}.localhost:${port}`;
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, headers: { host } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          url: `http://${host}${path}`,
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    })
      .on("error", reject)
      .end();
  });
}
