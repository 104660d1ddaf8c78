import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { ask } from "./callers.ts";
import type { Stage } from "./stage.ts";
import { say } from "../steps.ts";
import { freePort } from "../../test/helpers/free-port.ts";

const program = join(import.meta.dirname, "../../bin/countersign.js");

/** Starts nginx with the configuration that `countersign origin config nginx --follow` writes. @returns its URL */
export async function startNginx({
  stack,
  folder,
  platform,
  pair,
  api,
  authority,
}: Stage): Promise<string> {
  const home = join(folder, "nginx");
  mkdirSync(home);
  const port = await freePort();
  writeFileSync(join(home, "tls.crt"), pair.cert);
  writeFileSync(join(home, "tls.key"), pair.key);
  writeFileSync(
    join(home, "nginx.conf"),
    `daemon off; pid ${home}/pid; error_log ${home}/error.log;
events {}
http {
  access_log off; client_body_temp_path ${home}/b; proxy_temp_path ${home}/p;
  fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
  include ${home}/countersign.conf;
}`,
  );
  const { api: trust, accountId } = platform.ready;
  const nginx = `nginx -p ${home} -c ${home}/nginx.conf`;
  const flags = `--listen 127.0.0.1:${port} --cert tls.crt --key tls.key --trust ${trust} --account ${accountId} --policy orders --to ${api.plain} --write . --follow --json`;
  const argv = ["origin", "config", "nginx", ...flags.split(" ")];
  const reload = `if [ -s ${home}/pid ]; then ${nginx} -s reload; fi`;
  const follower = spawn(process.execPath, [program, ...argv, "--exec", reload], {
    cwd: home,
    stdio: ["ignore", "pipe", "inherit"],
  });
  stack.defer(() => void follower.kill("SIGKILL"));
  const [line] = (await once(createInterface(follower.stdout), "line")) as [string];
  if (!line.includes('"ready":true')) throw new Error(line);
  say(`countersign ${argv.join(" ")} --exec 'nginx -s reload'`);
  const server = spawn("nginx", nginx.split(" ").slice(1), {
    stdio: ["ignore", "ignore", "inherit"],
  });
  stack.defer(async () => {
    server.kill("SIGTERM");
    if (server.exitCode === null) await once(server, "exit");
  });
  for (let i = 0; i < 200; i++) {
    const answer = await ask({ port, ca: authority.pem }).catch(() => null);
    if (answer !== null) return `https://localhost:${port}`;
    await wait(25);
  }
  throw new Error("nginx did not start");
}
