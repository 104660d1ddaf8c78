import { Failure } from "../../failures/failures.ts";

/** Node's and OpenSSL's codes for a certificate that is not trusted, or not for this name. */
const untrusted =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_)|HOSTNAME_MISMATCH/;

/**
 * One request to a platform over the network.
 * @throws Failure `platform_untrusted` if its certificate is not trusted, `platform_not_running` if
 * nothing answers
 */
export async function fetchJson(
  url: string,
  init: RequestInit,
): Promise<{ readonly status: number; readonly text: string }> {
  try {
    const response = await fetch(url, init);
    return { status: response.status, text: await response.text() };
  } catch (error) {
    throw unreachable(new URL(url).origin, error);
  }
}

function unreachable(origin: string, error: unknown): Failure {
  const reason = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  // A `DOMException` of a time limit has a number there.
  const why = typeof reason.code === "string" ? reason.code : reason.message;
  if (untrusted.test(String(reason.code))) {
    return new Failure("platform_untrusted", {
      message: `the certificate of ${origin} is not trusted: ${reason.message} (${why})`,
      cause: error,
    });
  }
  return new Failure("platform_not_running", {
    message: `no platform answers at ${origin}: ${why}`,
    fix: "Compare the address with what `countersign env` prints where the platform runs, and look whether it runs.",
    cause: error,
  });
}
