import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { until } from "./until.ts";

export interface ProxyToStart {
  readonly name: string;
  /** The configuration, as printed. */
  readonly configuration: string;
  /** Default: the program with the server's name in the path. */
  readonly program?: string;
}

/**
 * Starts the real server with a printed configuration, in its own folder below `folder`, until the test ends.
 * @param isReady called repeatedly, with the server's output so far, until it returns true
 */
export async function startProxy(
  t: Pick<TestContext, "after">,
  folder: string,
  { name, configuration, program = name }: ProxyToStart,
  isReady: (said: string) => Promise<boolean>,
): Promise<{ readonly child: ChildProcess; readonly home: string }> {
  const home = mkdtempSync(join(folder, `${name}-`));
  // Files and settings that a server needs besides the configuration.
  const child = spawn(program, commands[name]!(configuration, home), {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
  }
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  await until(() => {
    assert.equal(child.exitCode, null, said);
    return isReady(said);
  });
  return { child, home };
}

/** The arguments that start each server in the foreground. */
const commands: Readonly<
  Record<string, (configuration: string, home: string) => readonly string[]>
> = {
  nginx: (configuration, home) => {
    writeFileSync(join(home, "countersign.conf"), configuration);
    writeFileSync(
      join(home, "nginx.conf"),
      `daemon off; master_process on; pid ${home}/pid; error_log ${home}/error.log;
${process.getuid?.() === 0 ? "user root;" : ""}
events {}
http {
  access_log off; client_body_temp_path ${home}/b; proxy_temp_path ${home}/p;
  fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
  include ${home}/countersign.conf;
}`,
    );
    return ["-p", home, "-c", join(home, "nginx.conf")];
  },
  haproxy: (configuration, home) => {
    writeFileSync(join(home, "countersign.cfg"), configuration);
    writeFileSync(join(home, "global.cfg"), "global\n  maxconn 1000\n");
    return ["-W", "-f", join(home, "global.cfg"), "-f", join(home, "countersign.cfg")];
  },
  envoy: (configuration, home) => {
    const file = join(home, "countersign.json");
    writeFileSync(file, configuration);
    const baseId = join(home, "base-id");
    return ["-c", file, "-l", "error", "--concurrency", "1", "--use-dynamic-base-id"].concat([
      "--base-id-path",
      baseId,
      "--parent-shutdown-time-s",
      "2",
      "--drain-time-s",
      "1",
    ]);
  },
  caddy: (configuration, home) => {
    writeFileSync(
      join(home, "Caddyfile"),
      `{
  admin unix/${home}/admin.sock
  auto_https disable_redirects
  storage file_system ${home}/storage
}
import countersign.caddy
`,
    );
    writeFileSync(join(home, "countersign.caddy"), configuration);
    return ["run", "--adapter", "caddyfile", "--config", join(home, "Caddyfile")];
  },
};
