import type { FailureCode } from "../failures/failures.ts";
import { isBodyTooLarge } from "../forward/body.ts";
import { isHeaderOverflow } from "../forward/limits.ts";
import type { HowEnded } from "./protocol.ts";
import type { Upstream } from "./upstream.ts";

/**
 * The failure that a client gets if its Worker did not answer, by the error of the connection.
 *
 * @param howEnded has the Worker's process ended, and why? Asked only where the request was sent.
 */
export async function whyFailed(
  error: Error,
  { socket }: Upstream,
  howEnded: (socket: string) => Promise<HowEnded>,
): Promise<FailureCode> {
  if (isOutOfFiles(error)) return "machine_files_exhausted";
  if (isBodyTooLarge(error)) return "worker_body_too_large";
  if (!wasSent(error)) return "worker_unavailable";
  if (isHeaderOverflow(error)) return "worker_headers_too_large";
  return CODES[await howEnded(socket)];
}

const CODES: Readonly<Record<HowEnded, FailureCode>> = {
  "over-limit": "worker_limits_exceeded",
  ended: "worker_connection_lost",
  runs: "worker_connection_closed",
};

function isOutOfFiles(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EMFILE" || code === "ENFILE";
}

/** An error of connecting: nothing of the request has reached the Worker. */
function wasSent(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall !== "connect" && code !== "UND_ERR_CONNECT_TIMEOUT" && code !== "UND_ERR_CLOSED";
}
