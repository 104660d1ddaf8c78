import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { Failure } from "../../failures/failures.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { writeTable } from "../../terminal/table.ts";
import { apiClient } from "../client/api-client.ts";
import { confirm, yesOption } from "../confirm.ts";
import { dataOption } from "../data-option.ts";
import { Exit } from "../report.ts";

interface Options {
  readonly data?: string;
  readonly json?: true;
}

interface ShownPolicy {
  readonly name: string;
  readonly version: number;
  readonly policy: unknown;
  readonly created_on: string;
  readonly author: string;
}

interface Explained {
  readonly allowed: boolean;
  readonly code: string;
  readonly reason: string;
  readonly version: number;
}

const path = "/countersign/policies";

export function addPolicyCommand(program: Command, io: Io): void {
  const group = program.command("policy");
  group
    .command("list")
    .description("the policies that origins can follow")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (options: Options) => {
      const { result } = await (await apiClient(io, options)).call<ShownPolicy[]>("GET", path);
      if (options.json) return writeJson(io.stdout, result);
      if (result.length === 0) writeLine(io.stderr, "there is no policy");
      else printVersions(io, result);
    });
  group
    .command("set")
    .description("put a policy in force at every origin that follows it")
    .argument("<name>", "what origins follow it by")
    .argument(
      "<file>",
      "JSON, as policy.schema.json of countersign-origin describes it; - for stdin",
    )
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (name: string, file: string, options: Options) => {
      const policy = readPolicy(io, file);
      const api = await apiClient(io, options);
      const { result } = await api.call<ShownPolicy>("PUT", pathOf(name), policy);
      if (options.json) return writeJson(io.stdout, result);
      const done = colorsFor(io, io.stdout).green("✔");
      writeLine(io.stdout, `${done} version ${result.version} of "${result.name}" is in force`);
    });
  group
    .command("show")
    .description("the policy in force, as JSON")
    .argument("<name>")
    .option(...dataOption)
    .option("--json", "with its version and author")
    .action(async (name: string, options: Options) => {
      const { result } = await (
        await apiClient(io, options)
      ).call<ShownPolicy>("GET", pathOf(name));
      writeJson(io.stdout, options.json ? result : result.policy);
    });
  group
    .command("log")
    .description("every version: who set it, and when")
    .argument("<name>")
    .option(...dataOption)
    .option("--json", "one JSON array")
    .action(async (name: string, options: Options) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<ShownPolicy[]>("GET", `${pathOf(name)}/versions`);
      if (options.json) return writeJson(io.stdout, result);
      printVersions(io, result);
    });
  group
    .command("delete")
    .description("delete a policy with its versions: origins that follow it refuse all requests")
    .argument("<name>")
    .option(...yesOption)
    .option(...dataOption)
    .action(async (name: string, options: Options & { yes?: true }) => {
      const api = await apiClient(io, options);
      await api.call<ShownPolicy>("GET", pathOf(name));
      const what = `Origins that follow the policy "${name}" will refuse every request.`;
      await confirm(io, options, what);
      await api.call("DELETE", pathOf(name));
      const done = colorsFor(io, io.stdout).green("✔");
      writeLine(io.stdout, `${done} the policy "${name}" is deleted`);
    });
  addExplain(group, io);
}

function addExplain(group: Command, io: Io): void {
  group
    .command("explain")
    .description("what the policy says of a caller, and why; exit status 1 if it refuses")
    .argument("<name>")
    .option("--worker <name>", "a Worker of this account")
    .option("--environment <name>", "of that Worker; default: what its identity names")
    .option("--spiffe-id <id>", "any caller by its SPIFFE ID")
    .option("--subject <dn>", "any caller by its certificate's subject")
    .option("--method <method>", "of the request", "GET")
    .option("--path <path>", "of the request", "/")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign policy set orders policy.json
  $ countersign policy explain orders --worker c --method POST --path /orders`,
    )
    .action(
      async (
        name: string,
        options: Options & {
          worker?: string;
          environment?: string;
          spiffeId?: string;
          subject?: string;
          method: string;
          path: string;
        },
      ) => {
        if ((options.worker ?? options.spiffeId ?? options.subject) === undefined) {
          throw new Failure("usage", {
            message: "name a caller: --worker, --spiffe-id or --subject",
          });
        }
        const query = new URLSearchParams({ method: options.method, path: options.path });
        if (options.worker !== undefined) query.set("worker", options.worker);
        if (options.environment !== undefined) query.set("environment", options.environment);
        if (options.spiffeId !== undefined) query.set("spiffe_id", options.spiffeId);
        if (options.subject !== undefined) query.set("subject", options.subject);
        const api = await apiClient(io, options);
        const url = `${pathOf(name)}/explain?${query.toString()}`;
        const { result } = await api.call<Explained>("GET", url);
        if (options.json) writeJson(io.stdout, result);
        else {
          const colors = colorsFor(io, io.stdout);
          const mark = result.allowed ? colors.green("✔") : colors.red("✘");
          writeLine(
            io.stdout,
            `${mark} ${result.reason} (${result.code}, version ${result.version})`,
          );
        }
        if (!result.allowed) throw new Exit(1);
      },
    );
}

function pathOf(name: string): string {
  return `${path}/${encodeURIComponent(name)}`;
}

function readPolicy(io: Io, file: string): object {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : resolve(io.cwd, file), "utf8");
  } catch (cause) {
    throw new Failure("file_missing", { message: `${file} cannot be read`, cause });
  }
  try {
    return JSON.parse(text) as object;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "";
    throw new Failure("policy_invalid", { message: `${file} is not JSON: ${why}`, cause });
  }
}

function printVersions(io: Io, versions: readonly ShownPolicy[]): void {
  const rows = versions.map((one) => [one.name, `${one.version}`, one.created_on, one.author]);
  writeTable(io, ["policy", "version", "set on", "by"], rows);
}
