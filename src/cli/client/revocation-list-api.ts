import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Failure } from "../../failures/failures.ts";
import type { Io } from "../../terminal/io.ts";
import type { ApiClient } from "./api-client.ts";
import type { ShownRevocationList } from "./host-api.ts";

export const listsPath = "/countersign/revocation_lists";

/**
 * @param from a file, which is uploaded, or a URL, which the platform fetches regularly
 * @param interval seconds between two fetches of a URL. Default: the platform's default
 */
export async function addRevocationList(
  api: ApiClient,
  io: Io,
  from: string,
  interval?: number,
): Promise<ShownRevocationList> {
  const every = interval === undefined ? {} : { interval };
  const body = /^https?:\/\//i.test(from) ? { url: from, ...every } : { list: read(io, from) };
  const { result } = await api.call<ShownRevocationList>("POST", listsPath, body);
  return result;
}

/** PEM unchanged, DER as base64. */
function read(io: Io, file: string): string {
  try {
    const bytes = readFileSync(resolve(io.cwd, file));
    return bytes.includes("-----BEGIN") ? bytes.toString("latin1") : bytes.toString("base64");
  } catch (cause) {
    throw new Failure("usage", { message: `"${file}" cannot be read`, cause });
  }
}
