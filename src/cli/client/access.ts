import { Failure } from "../../failures/failures.ts";
import { colorsFor, writeLine, type Io } from "../../terminal/io.ts";
import { dataFolderOf } from "../data-option.ts";
import { isUnreachable, platformClient, type Ask, type PlatformClient } from "./platform-client.ts";
import { choosePlatform } from "./chosen-platform.ts";

interface DataOptions {
  readonly data?: string;
}

/**
 * For tokens, accounts and the audit log: asks the platform that `choosePlatform` finds. If that is the platform of this
 * user's data folder, it is asked over the admin socket, as the folder's owner, who sees every account; else over the
 * API, with the token or the login.
 */
export async function accessOf(io: Io, options: DataOptions): Promise<Ask> {
  const chosen = choosePlatform(io, options);
  if (chosen.kind === "folder") return platformClient(chosen.dataFolder).ask;
  const named = chosen.kind === "api" ? chosen.api : chosen.login.api;
  const own = platformClient(dataFolderOf(io, undefined));
  if ((await addressOf(own)) === named) return own.ask;
  const { apiClient } = await import("./api-client.ts");
  const { askOverApi } = await import("./access-api.ts");
  return askOverApi(await apiClient(io, options));
}

/**
 * For commands that only the machine's owner may use: the platform of the data folder. If a variable or a login names
 * another platform, the error says so, so that nobody mistakes one for the other.
 */
export async function ownersPlatform(io: Io, options: DataOptions): Promise<PlatformClient> {
  const folder = dataFolderOf(io, options.data);
  const platform = platformClient(folder);
  const named = options.data === undefined ? io.env["CLOUDFLARE_API_BASE_URL"] : undefined;
  if (!named) return platform;
  const api = await addressOf(platform);
  if (api === named.replace(/\/+$/, "")) return platform;
  if (api === null) {
    throw new Failure("platform_not_running", {
      message: `this is for the owner of a platform's machine, no platform answers for the data folder "${folder}", and CLOUDFLARE_API_BASE_URL names ${named}`,
      fix: "Run it on that platform's machine, as the user that runs it, with --data where the folder is another.",
      facts: { dataFolder: folder },
    });
  }
  const { yellow } = colorsFor(io, io.stderr);
  writeLine(
    io.stderr,
    `${yellow("!")} this acts on ${api}, whose data folder is "${folder}", not on ${named}, which CLOUDFLARE_API_BASE_URL names: it is for the owner of the machine`,
  );
  return platform;
}

/** Null: no platform runs there. */
async function addressOf(platform: PlatformClient): Promise<string | null> {
  try {
    return (await platform.info()).api;
  } catch (error) {
    if (isUnreachable(error)) return null;
    throw error;
  }
}
