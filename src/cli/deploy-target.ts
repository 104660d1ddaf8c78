import type { Io } from "../terminal/io.ts";
import { wranglerVariables } from "./commands/env.ts";
import { isUnreachable, platformClient } from "./client/platform-client.ts";
import { choosePlatform } from "./client/chosen-platform.ts";

export interface DeployTarget {
  readonly api: string;
  readonly from: string;
  /** Variables that wrangler needs in addition to its environment. */
  readonly variables: Readonly<Record<string, string>>;
  /** URLs that lead to a Worker, as far as this command knows them. */
  urlsOf(worker: DeployedWorker): Promise<readonly string[]>;
}

export interface DeployedWorker {
  readonly name: string;
  /** Null: wrangler did not say. */
  readonly versionId: string | null;
}

/** The platform that `countersign deploy` deploys to. wrangler may have its own login for CLOUDFLARE_API_BASE_URL. */
export async function deployTarget(
  io: Io,
  options: { readonly data?: string },
): Promise<DeployTarget> {
  const named = io.env["CLOUDFLARE_API_BASE_URL"];
  const quiet = { WRANGLER_SEND_METRICS: "false" };
  if (options.data === undefined && named) {
    const from = "CLOUDFLARE_API_BASE_URL";
    return { api: named, from, variables: quiet, urlsOf: (worker) => localUrls(io, named, worker) };
  }
  const chosen = choosePlatform(io, options);
  if (chosen.kind === "login") {
    const { fresh } = await import("./client/oauth.ts");
    const { api, accessToken, accountId } = await fresh(io, chosen.login);
    const variables = {
      CLOUDFLARE_API_BASE_URL: api,
      CLOUDFLARE_API_TOKEN: accessToken,
      CLOUDFLARE_ACCOUNT_ID: accountId,
      ...quiet,
    };
    return { api, from: chosen.from, variables, urlsOf: () => Promise.resolve([]) };
  }
  const data = chosen.kind === "folder" ? { data: chosen.dataFolder } : options;
  const variables = await wranglerVariables(io, { ...data, hours: "1" });
  const api = variables.CLOUDFLARE_API_BASE_URL;
  return {
    api,
    from: chosen.from,
    variables,
    urlsOf: (worker) => localUrls(io, api, worker, data),
  };
}

/** If the platform runs on this machine, it knows the URLs. */
async function localUrls(
  io: Io,
  api: string,
  { name, versionId }: DeployedWorker,
  options: { readonly data?: string } = {},
): Promise<readonly string[]> {
  const { dataFolderOf } = await import("./data-option.ts");
  const platform = platformClient(dataFolderOf(io, options.data));
  try {
    if ((await platform.info()).api !== api.replace(/\/+$/, "")) return [];
    const { workers } = await platform.status();
    const named = workers.filter(({ scriptName }) => scriptName === name);
    // Another account may have a Worker of this name.
    const deployed = named.find((worker) => worker.versionId === versionId);
    const isOnly = new Set(named.map(({ accountId }) => accountId)).size === 1;
    return (deployed ?? (isOnly ? named[0] : undefined))?.urls ?? [];
  } catch (error) {
    if (isUnreachable(error)) return [];
    throw error;
  }
}
