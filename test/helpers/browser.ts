import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const path = "/usr/bin/chromium";

/** Why a test with a browser cannot run here. False: it can. */
export const noBrowser: string | false = existsSync(path) ? false : `there is no ${path}`;

/**
 * Debian's Chromium, without a window.
 * @param hosts where it connects instead: `{"localhost:8976": "localhost:1234"}`
 */
export function launchBrowser(hosts: Readonly<Record<string, string>>): Promise<Browser> {
  const rules = Object.entries(hosts).map(([from, to]) => `MAP ${from} ${to}`);
  return chromium.launch({
    executablePath: path,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=${rules.join(", ")}`,
    ],
  });
}
