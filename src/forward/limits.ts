/** Bytes of a request's or a response's header fields: 128 KB each way, as on Cloudflare. */
export const MOST_HEADERS = 128_000;

/** Bytes of a URL's path and query, as on Cloudflare. */
export const MOST_URL = 16_384;

/**
 * Bytes that a parser accepts before it gives up. This is above the limits, so that a request over
 * a limit is read and answered with a reason. A request over this gets an answer without a reason.
 */
export const HEADER_BUFFER = 262_144;

/**
 * Bytes that a connection holds before its other side is paused. One read brings 64 KiB: if no more were
 * held, each write of what was read would pause the side that it came from, though it went out at once.
 */
export const CONNECTION_BUFFER = 131_072;

/** Of undici, and of Node's server. */
export function isHeaderOverflow(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "UND_ERR_HEADERS_OVERFLOW" || code === "HPE_HEADER_OVERFLOW";
}

/** As HTTP/1.1 writes them. @param raw flat: name, value … */
export function headerSize(raw: readonly string[]): number {
  let size = 0;
  for (let i = 0; i < raw.length; i += 1) size += raw[i]!.length + 2;
  return size;
}

/** As undici's, for what its parser did not measure. */
export function headerOverflow(): Error {
  return Object.assign(new Error("the response's headers are too large"), {
    code: "UND_ERR_HEADERS_OVERFLOW",
  });
}
