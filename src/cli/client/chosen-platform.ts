import type { Io } from "../../terminal/io.ts";
import { Failure } from "../../failures/failures.ts";
import { dataFolderOf } from "../data-option.ts";
import { readLogin, type Login } from "./login-file.ts";

/** The platform that a command acts on, and how it was found. */
export type ChosenPlatform =
  | { readonly kind: "folder"; readonly dataFolder: string; readonly from: string }
  | {
      readonly kind: "api";
      /** `https://countersign.example/client/v4` */
      readonly api: string;
      readonly token: string;
      /** Null: the token's only account. */
      readonly accountId: string | null;
      readonly from: string;
    }
  | { readonly kind: "login"; readonly login: Login; readonly from: string };

/**
 * Finds the platform, for every command: the flag, then wrangler's three variables, then COUNTERSIGN_DATA, then
 * `countersign login`, then the data folder of this user.
 * @throws Failure `token_missing` if only some of the variables are set: acting on another platform than the one they
 * name would be worse
 */
export function choosePlatform(io: Io, options: { readonly data?: string }): ChosenPlatform {
  const { env } = io;
  const folder = (from: string): ChosenPlatform => ({
    kind: "folder",
    dataFolder: dataFolderOf(io, options.data),
    from,
  });
  if (options.data !== undefined) return folder("--data");
  const api = env["CLOUDFLARE_API_BASE_URL"]?.replace(/\/+$/, "");
  const token = env["CLOUDFLARE_API_TOKEN"];
  const login = readLogin(io);
  if (api && token) {
    const accountId = env["CLOUDFLARE_ACCOUNT_ID"] || null;
    return { kind: "api", api, token, accountId, from: "CLOUDFLARE_API_BASE_URL" };
  }
  if (api && login?.api !== api) {
    throw new Failure("token_missing", {
      message: `CLOUDFLARE_API_BASE_URL names ${api}, but CLOUDFLARE_API_TOKEN is not set`,
      fix: "Set it, sign in with `countersign login`, or name a data folder with --data.",
    });
  }
  if (login && api) return { kind: "login", login, from: "CLOUDFLARE_API_BASE_URL" };
  if (env["COUNTERSIGN_DATA"]) return folder("COUNTERSIGN_DATA");
  if (login) return { kind: "login", login, from: "countersign login" };
  return folder("the data folder of this user");
}
