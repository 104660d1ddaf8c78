import { Argument, type Command } from "commander";
import type { IngressFlags } from "../ingress-config.ts";
import type { Io } from "../../terminal/io.ts";

export function addIngressCommand(program: Command, io: Io): void {
  program
    .command("ingress")
    .command("config")
    .description(
      "print a proxy's configuration in front of a Worker's own port or socket, or of the ingress",
    )
    .addArgument(
      new Argument("<server>", "the proxy that clients reach").choices([
        "nginx",
        "haproxy",
        "caddy",
      ]),
    )
    .requiredOption(
      "--to <url>",
      "unix:/path of `start --worker-socket`, or http://host:port of the ingress; with --own-port, of `start --worker-port`",
    )
    .option(
      "--own-port",
      "--to is a Worker's own port, not the ingress: nothing behind the proxy drops what clients forge",
    )
    .option("--host <name>", "the host name that it answers for; default: any")
    .option(
      "--listen <[host:]port>",
      "where the proxy listens, on all IPv4 addresses unless a host is named; default: 443, or 80 without --cert",
    )
    .option("--cert <file>", "for TLS: the server's chain, PEM; for HAProxy with the key in it")
    .option("--key <file>", "for TLS: its private key, PEM")
    .option("--json", "one JSON object on stdout: `{server, file, configuration}`")
    .addHelpText(
      "after",
      `
Host and WebSockets pass; X-Forwarded-For and X-Forwarded-Proto are set from the connection. In front of a
Worker's socket or port, so are CF-Connecting-IP and X-Real-IP, what clients send as CF-…, Client-Cert and
the like is dropped, and each request has a connection of its own: at a socket, a deploy loses none. The
ingress takes the proxy's word only with \`countersign start --trusted-proxies\`.

Examples:
  $ countersign ingress config nginx --to unix:/run/countersign/shop.sock --host shop.example \\
      --cert tls.crt --key tls.key > /etc/nginx/conf.d/shop.conf
  $ countersign ingress config haproxy --to http://127.0.0.1:4480 --listen 8080 > countersign.cfg
  $ countersign ingress config haproxy --to http://127.0.0.1:8080 --own-port --listen 80 > shop.cfg
  $ countersign ingress config caddy --to unix:/run/countersign/shop.sock --host shop.example \\
      --cert tls.crt --key tls.key > shop.caddy`,
    )
    .action(async (server: string, flags: IngressFlags) => {
      const { configureIngress } = await import("../ingress-config.ts");
      configureIngress(io, server, flags);
    });
}
