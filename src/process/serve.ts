import { PassedHandle } from "./passed-handle.ts";
import { packError, type FromProcess, type ToProcess } from "./messages.ts";

export interface CallServer {
  /** @param signal aborts when nobody waits for the answer any more */
  call(method: string, args: readonly unknown[], signal: AbortSignal): unknown;
  /** Finishes what is in flight. The process ends after it. */
  stop(): Promise<void>;
  /** Something was thrown where nothing catches it: fails what is in flight. The process ends after it. */
  abandon(): void;
}

/** The other end of a supervisor: what a process of ours does with what it is sent. */
export function serve(served: CallServer): Channel {
  const calls = new Map<number, AbortController>();
  const asked = new Map<number, (value: unknown) => void>();
  let lastAsked = 0;
  process.on("message", (message: ToProcess, handle?: object) => {
    switch (message.kind) {
      case "call":
        void answer(served, calls, message, handle);
        return;
      case "cancel":
        calls.get(message.id)?.abort();
        return;
      case "ping":
        send({ kind: "pong" });
        return;
      case "told":
        asked.get(message.id)?.(message.value);
        asked.delete(message.id);
        return;
      case "stop":
        void served.stop().finally(() => process.exit(0));
    }
  });
  // Without a supervisor, this process would not learn of changes or revocations. So it ends, and
  // the next supervisor starts another one.
  process.on("disconnect", () => process.exit(0));
  // Signals to the whole group (Ctrl-C, systemd) are the supervisor's business: it drains first.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  process.on("uncaughtException", (error) => end(served, error));
  return {
    event: (event) => send({ kind: "event", event }),
    ask: (question) =>
      new Promise((resolve) => {
        const id = ++lastAsked;
        asked.set(id, resolve);
        send({ kind: "ask", id, question });
      }),
  };
}

export interface Channel {
  /** Tells the supervisor something unasked. */
  event(event: unknown): void;
  /** Undefined: the supervisor has no answer. */
  ask(question: unknown): Promise<unknown>;
}

async function answer(
  served: CallServer,
  calls: Map<number, AbortController>,
  { id, method, args }: ToProcess & { kind: "call" },
  handle: object | undefined,
): Promise<void> {
  const cancel = new AbortController();
  calls.set(id, cancel);
  try {
    const all = handle === undefined ? args : [...args, new PassedHandle(handle)];
    send({ kind: "result", id, value: await served.call(method, all, cancel.signal) });
  } catch (error) {
    send({ kind: "error", id, error: packError(error) });
  } finally {
    calls.delete(id);
  }
}

let isEnding = false;

/** The state of this process is no longer known. It fails its open requests, and is replaced. */
function end(served: CallServer, error: unknown): void {
  if (isEnding) return;
  isEnding = true;
  setTimeout(() => process.exit(1), GRACE);
  const { message = String(error), stack = "" } = error instanceof Error ? error : {};
  send({ kind: "fatal", message, stack });
  try {
    served.abandon();
  } catch {
    // The process cannot answer any more. Its connections end with it.
  }
}

/** ms for the last answers to be written */
const GRACE = 100;

function send(message: FromProcess): void {
  if (process.connected) process.send!(message);
}
