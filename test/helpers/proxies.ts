import { writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Writes a printed configuration and what a server needs around it.
 * @returns arguments that start the server in the foreground
 */
export function proxyCommand(name: string, configuration: string, home: string): readonly string[] {
  return commands[name]!(configuration, home);
}

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
