import { spawn } from "node:child_process";
import { emitKeypressEvents, type Key } from "node:readline";
import type { ReadStream } from "node:tty";
import type { Writable } from "node:stream";

/** wrangler's own keys: it offers them in its command only, not when its server is embedded. */
export interface KeyActions {
  readonly url: URL;
  readonly inspectorUrl: URL | undefined;
  readonly workerName: string;
  readonly exit: () => void;
}

/** Listens to single keys until disposed, and prints which keys there are. */
export function listenToKeys(
  stdin: ReadStream,
  stdout: Writable,
  { url, inspectorUrl, workerName, exit }: KeyActions,
): Disposable {
  const actions: Readonly<Record<string, () => void>> = {
    b: () => openInBrowser(url.href),
    d: () => {
      if (inspectorUrl) {
        openInBrowser(devtoolsUrl(inspectorUrl, workerName));
      }
    },
    e: () => openInBrowser(new URL("/cdn-cgi/local/explorer", url).href),
    c: () => stdout.write("\u001B[2J\u001B[3J\u001B[H"),
    x: exit,
    q: exit,
  };
  const onKey = (_text: string | undefined, key: Key): void => {
    if (key.ctrl && key.name === "c") {
      exit();
    } else if (!key.ctrl && !key.meta) {
      actions[key.name ?? ""]?.();
    }
  };
  emitKeypressEvents(stdin);
  stdin.setRawMode(true);
  stdin.on("keypress", onKey);
  stdin.resume();
  stdout.write(instructions);
  return {
    [Symbol.dispose]: () => {
      stdin.off("keypress", onKey);
      stdin.setRawMode(false);
      stdin.pause();
    },
  };
}

const labels =
  "[b] open a browser [d] open devtools [e] open local explorer [c] clear console [x] to exit";
const line = "─".repeat(labels.length + 4);
const instructions = `╭${line}╮\n│  ${labels}  │\n╰${line}╯\n`;

function devtoolsUrl(inspectorUrl: URL, workerName: string): string {
  const query = new URLSearchParams({
    theme: "systemPreferred",
    ws: `${inspectorUrl.host}/ws`,
    domain: workerName,
    debugger: "true",
  });
  return `https://devtools.devprod.cloudflare.dev/js_app?${query.toString()}`;
}

function openInBrowser(url: string): void {
  const [command, ...args] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["explorer.exe", url]
        : ["xdg-open", url];
  const child = spawn(command, args, { stdio: "ignore", detached: true });
  // This machine has no browser; the URL is on the screen.
  child.on("error", () => {});
  child.unref();
}
