import { Failure } from "../../failures/failures.ts";

/** An error with wrangler's own message, which is printed unchanged. */
export class WranglerError extends Error {
  override readonly name = "WranglerError";
}

/** Runs `attempt`, and turns what it throws into a WranglerError. */
export function complaining<T>(attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    throw complaint(error);
  }
}

export async function complainingLater<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    throw complaint(error);
  }
}

/** wrangler's message, when offline, about bindings that are always remote; sometimes it says nothing. */
const needsNetwork =
  /CLOUDFLARE_API_TOKEN|api\.cloudflare\.com|wrangler login|gave up while it started/;
const withoutNetwork =
  "Some bindings, like `ai`, are Cloudflare's network wherever the Worker runs. `countersign dev --local` starts without them.";

interface Complaint {
  readonly message?: string;
  readonly cause?: unknown;
  readonly notes?: readonly { readonly text: string }[];
  readonly location?: { file?: string; line: number; column: number; lineText?: string };
}

/** wrangler wraps the cause in events and in "An error occurred when starting the server". */
export function complaint(error: unknown): Error {
  if (error instanceof Failure) {
    return error;
  }
  let innermost = error as Complaint;
  while (
    innermost.location === undefined &&
    typeof innermost.cause === "object" &&
    innermost.cause
  ) {
    innermost = innermost.cause;
  }
  const { location, notes = [] } = innermost;
  return new WranglerError(
    [
      location
        ? `${location.file ?? "configuration"}:${location.line}:${location.column}: ${innermost.message}`
        : String(innermost.message),
      ...(location?.lineText ? [`  ${location.lineText}`] : []),
      ...notes.map(({ text }) => text),
      ...(needsNetwork.test(String(innermost.message)) ? [withoutNetwork] : []),
    ].join("\n"),
    { cause: error },
  );
}
