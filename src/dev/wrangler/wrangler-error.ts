import { Failure } from "../../failures/failures.ts";

/** What wrangler itself has to say. Its message is printed as it is. */
export class WranglerError extends Error {
  override readonly name = "WranglerError";
}

/** Runs it; what it throws becomes wrangler's own words. */
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

/** What it says, offline, of bindings that are always remote: or nothing at all. */
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

/** wrangler wraps what happened in events and in "An error occurred when starting the server". */
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
