import type { WorkerVersion } from "../contract/change-feed.ts";

/** The content codings that a Worker's runtime takes off, as `accept-encoding` lists them. */
export function decodedBy({
  compatibilityDate,
  compatibilityFlags,
}: Pick<WorkerVersion, "compatibilityDate" | "compatibilityFlags">): string {
  const brotli =
    compatibilityFlags.includes("brotli_content_encoding") ||
    (compatibilityDate >= BROTLI_SINCE &&
      !compatibilityFlags.includes("no_brotli_content_encoding"));
  return brotli ? "gzip, br" : "gzip";
}

const BROTLI_SINCE = "2024-04-29";
