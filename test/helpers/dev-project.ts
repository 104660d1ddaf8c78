import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { program } from "./program.ts";

const repository = join(import.meta.dirname, "..", "..");

/** A Wrangler project in a folder of its own. Its packages are this repository's. */
export interface TestProject extends AsyncDisposable {
  readonly folder: string;
  write(path: string, text: string): Promise<void>;
  path(name: string): string;
  /** The same project, with these variables in the environment of the programs that it starts. */
  with(env: Readonly<Record<string, string>>): TestProject;
  /** Starts `countersign ARGS` here. */
  run(...args: readonly string[]): RunningProgram;
  /** Starts `countersign dev` on free ports, and resolves once it is ready. */
  dev(...args: readonly string[]): Promise<RunningDev>;
}

export interface RunningProgram extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Everything printed so far, both streams. */
  readonly output: string;
  /** Resolves with the match once it was printed. Rejects when the program ends without it. */
  says(what: RegExp): Promise<RegExpExecArray>;
  /** The exit status. */
  readonly ended: Promise<number | null>;
}

export interface RunningDev extends RunningProgram {
  readonly url: string;
}

/** @param files by path. `examples/NAME` is copied first if `example` is given */
export async function makeProject(
  files: Readonly<Record<string, string>>,
  example?: string,
): Promise<TestProject> {
  const folder = await mkdtemp(join(tmpdir(), "cs-test-"));
  if (example) {
    await cp(join(repository, "examples", example), folder, {
      recursive: true,
      filter: (source) =>
        !/node_modules|\.countersign|\.wrangler/.test(source.slice(repository.length)),
    });
  }
  await symlink(join(repository, "node_modules"), join(folder, "node_modules"));
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  for (const [path, text] of Object.entries(files)) {
    await write(path, text);
  }
  return projectIn(folder, write, {});
}

function projectIn(
  folder: string,
  write: TestProject["write"],
  env: Readonly<Record<string, string>>,
): TestProject {
  return {
    folder,
    write,
    path: (name) => join(folder, name),
    with: (more) => projectIn(folder, write, { ...env, ...more }),
    run: (...args) => runProgram(folder, args, env),
    dev: async (...args) => {
      const free = ["--port", "0", "--inspector-port", "0"];
      const running = runProgram(folder, ["dev", ...free, ...args], env);
      try {
        const [, url = ""] = await running.says(/Ready on (http\S+)/);
        return Object.assign(running, { url });
      } catch (error) {
        await running[Symbol.asyncDispose]();
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function runProgram(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): RunningProgram {
  return spawnProgram(process.execPath, [program, ...args], folder, env);
}

/** Starts any program in `folder`. */
export function spawnProgram(
  command: string,
  args: readonly string[],
  folder: string,
  env: Readonly<Record<string, string>> = {},
): RunningProgram {
  const child = spawn(command, args, {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      WRANGLER_REGISTRY_PATH: join(folder, ".registry"),
      NO_COLOR: "1",
      ...env,
    },
  });
  const listeners = new Set<() => void>();
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = once(child, "close").then(([status]) => status as number | null);
  return {
    child,
    get output() {
      return output;
    },
    ended,
    says: (what) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = what.exec(output);
          if (match) {
            listeners.delete(look);
            resolve(match);
          }
        };
        listeners.add(look);
        look();
        void ended.then(() => reject(new Error(`it ended without saying ${what}:\n${output}`)));
      }),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
