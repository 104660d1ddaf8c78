import { Argument, type Command } from "commander";
import type { ConfigFlags } from "../origin-config.ts";
import type { ServeFlags } from "../origin-serve.ts";
import type { Io } from "../../terminal/io.ts";

export function addOriginCommand(program: Command, io: Io): void {
  const group = program.command("origin");
  addServe(group, io);
  addConfig(group, io);
}

function addServe(group: Command, io: Io): void {
  group
    .command("serve")
    .description("serve TLS, verify callers and enforce the policy, in front of a service")
    .requiredOption("--to <url>", "the service: http://host:port, or tcp://host:port for any other")
    .requiredOption("--cert <file>", "the server's chain, PEM")
    .requiredOption("--key <file>", "its private key, PEM")
    .requiredOption(
      "--trust <file|url>",
      "CAs of callers, PEM, or the API of a platform that is followed",
    )
    .requiredOption(
      "--policy <file|name>",
      "a file, or the name of a policy of the platform that is followed",
    )
    .option("--listen <host:port>", "where it listens; port 0 takes a free one", "127.0.0.1:8443")
    .option("--api <url>", "follow this platform; its first word must fit the CAs of --trust")
    .option("--account <id>", "the account to follow, and whose Workers a policy file means")
    .option("--cache <file>", "keep what the platform said last, for a start without it")
    .option(
      "--client-stalled <s>",
      "seconds that a client over HTTP may take nothing of an answer; 0: no limit",
      "300",
    )
    .option("--json", "one JSON object on stdout once it is ready: `{ready, url}`")
    .addHelpText(
      "after",
      `
The service gets who calls in X-Countersign-Worker, -Account and -Spiffe-Id, and the certificate in
Client-Cert (RFC 9440); what a client sends under these names is dropped. WebSockets are judged as
their request. Files are followed: what is renewed counts at once, what is broken changes nothing.
Behind tcp:// there are no methods and paths: a rule that names any lets nobody in.
SIGINT or SIGTERM ends it: requests in flight are answered first.

Examples:
  $ countersign origin serve --cert tls.crt --key tls.key --trust acme-bundle.pem \\
      --policy policy.json --to http://127.0.0.1:3000
  $ countersign origin serve --cert tls.crt --key tls.key --trust acme-bundle.pem \\
      --api https://cs.example:4400/client/v4 --account ACCOUNT_ID --policy orders --to http://127.0.0.1:3000
  $ countersign origin serve --listen 0.0.0.0:5433 --cert tls.crt --key tls.key \\
      --trust acme-bundle.pem --policy policy.json --to tcp://127.0.0.1:5432`,
    )
    .action(async (flags: ServeFlags) => {
      const { serveOrigin } = await import("../origin-serve.ts");
      await serveOrigin(io, flags);
    });
}

function addConfig(group: Command, io: Io): void {
  group
    .command("config")
    .description("print the configuration of a server that enforces a policy")
    .addArgument(
      new Argument("<server>", "what ends TLS before the service").choices([
        "nginx",
        "envoy",
        "caddy",
        "haproxy",
        "traefik",
      ]),
    )
    .requiredOption("--to <url>", "the service: http://host:port")
    .requiredOption("--cert <file>", "the server's chain, PEM; for HAProxy with the key in it")
    .requiredOption("--key <file>", "its private key, PEM")
    .requiredOption(
      "--trust <file|url>",
      "CAs of callers, PEM, or the API of a platform that is followed",
    )
    .requiredOption(
      "--policy <file|name>",
      "a file, or the name of a policy of the platform that is followed",
    )
    .option("--listen <host:port>", "where the server listens", "127.0.0.1:8443")
    .option("--server-name <host>", "the host name that it answers for; default: any")
    .option("--api <url>", "follow this platform; its first word must fit the CAs of --trust")
    .option("--account <id>", "the account to follow, and whose Workers a policy file means")
    .option("--cache <file>", "keep what the platform said last, for a start without it")
    .option("--crl <file>", "what was revoked, PEM, where no platform is followed")
    .option("--write <folder>", "write the configuration and the CAs there, instead of to stdout")
    .option("--follow", "write it again whenever policy, CAs or revocations change")
    .option("--exec <command>", "run this after each change, as the server's reload")
    .option("--json", "one JSON object on stdout")
    .addHelpText(
      "after",
      `
nginx and HAProxy see no SPIFFE ID: they know a Worker by its subject CN=worker,O=account, so give them
the account's own CAs and no others. Paths that can be read in more than one way (.., //, an encoded
slash) fit only rules for every path. A command of --exec that fails is tried again.

Examples:
  $ countersign origin config nginx --cert tls.crt --key tls.key --trust acme-bundle.pem \\
      --account ACCOUNT_ID --policy policy.json --to http://127.0.0.1:3000 > /etc/nginx/conf.d/orders.conf
  $ countersign origin config nginx --cert tls.crt --key tls.key --trust https://cs.example:4400/client/v4 \\
      --account ACCOUNT_ID --policy orders --to http://127.0.0.1:3000 \\
      --write /etc/nginx/conf.d --follow --exec 'nginx -t && nginx -s reload'`,
    )
    .action(async (server: string, flags: ConfigFlags) => {
      const { configureOrigin } = await import("../origin-config.ts");
      await configureOrigin(io, server, flags);
    });
}
