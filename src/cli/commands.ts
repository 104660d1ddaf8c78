import type { Command } from "commander";
import type { Io } from "../terminal/io.ts";

/** A command of the first level. Its module is loaded when the command, or its help, is called. */
export interface CommandEntry {
  readonly name: string;
  readonly alias?: string;
  /** Its line in `countersign --help`. */
  readonly summary: string;
  readonly add: () => Promise<
    /** @param everything builds the whole program with all options of each command */
    (program: Command, io: Io, everything: () => Promise<Command>) => void
  >;
}

/** In the order of `countersign --help`. */
export const commands: readonly CommandEntry[] = [
  {
    name: "dev",
    summary: "wrangler's development server, with mTLS bindings",
    add: async () => (await import("./commands/dev.ts")).addDevCommand,
  },
  {
    name: "init",
    summary: "add what a Wrangler project needs for mTLS; shows the diff first",
    add: async () => (await import("./commands/init.ts")).addInitCommand,
  },
  {
    name: "start",
    summary: "run the platform on this machine: control plane, gateway, ingress and Workers",
    add: async () => (await import("./commands/start.ts")).addStartCommand,
  },
  {
    name: "env",
    summary: "print the variables that point wrangler, the SDK and Terraform at this platform",
    add: async () => (await import("./commands/env.ts")).addEnvCommand,
  },
  {
    name: "deploy",
    summary: "run wrangler deploy for this platform, then print the URL that answers",
    add: async () => (await import("./commands/deploy.ts")).addDeployCommand,
  },
  {
    name: "certificate",
    alias: "cert",
    summary: "client certificates: upload, rotate, roll back, revoke, show, test",
    add: async () => (await import("./commands/certificate/certificate.ts")).addCertificateCommand,
  },
  {
    name: "ca",
    summary: "certificate authorities that origins are verified with, beside the public roots",
    add: async () => (await import("./commands/certificate/ca.ts")).addCaCommand,
  },
  {
    name: "binding",
    summary: "which process makes the connections of a Worker's mTLS bindings",
    add: async () => (await import("./commands/binding.ts")).addBindingCommand,
  },
  {
    name: "hyperdrive",
    summary: "databases that Workers bind: list them, and test signing in",
    add: async () => (await import("./commands/hyperdrive.ts")).addHyperdriveCommand,
  },
  {
    name: "host",
    summary: "hosts of the ingress: their certificates, clients and origins",
    add: async () => (await import("./commands/host/host.ts")).addHostCommand,
  },
  {
    name: "trust",
    summary: "make this machine trust https://NAME.localhost, or stop trusting it",
    add: async () => (await import("./commands/trust.ts")).addTrustCommand,
  },
  {
    name: "access",
    summary: "Access: service tokens of machines, and applications",
    add: async () => (await import("./commands/access.ts")).addAccessCommand,
  },
  {
    name: "zone",
    summary:
      "what zones say of their hosts: versions of TLS, HTTPS alone; those behind another proxy",
    add: async () => (await import("./commands/host/zone.ts")).addZoneCommand,
  },
  {
    name: "identity",
    summary: "the certificates that Workers are issued, and the CA behind them",
    add: async () => (await import("./commands/identity/identity.ts")).addIdentityCommand,
  },
  {
    name: "policy",
    summary: "policies: which Worker may do what at an origin",
    add: async () => (await import("./commands/policy.ts")).addPolicyCommand,
  },
  {
    name: "origin",
    summary: "a sidecar, or a server's configuration, that enforces a policy",
    add: async () => (await import("./commands/origin.ts")).addOriginCommand,
  },
  {
    name: "ingress",
    summary: "configure nginx, HAProxy or Caddy in front of Workers",
    add: async () => (await import("./commands/ingress.ts")).addIngressCommand,
  },
  {
    name: "keys",
    summary: "the master key, which seals every private key and secret at rest",
    add: async () => (await import("./commands/keys.ts")).addKeysCommand,
  },
  {
    name: "backup",
    summary: "write all data of the platform into one file, while it runs or not",
    add: async () => (await import("./commands/backup.ts")).addBackupCommand,
  },
  {
    name: "restore",
    summary: "restore a backup into a data folder on which no platform runs",
    add: async () => (await import("./commands/backup.ts")).addRestoreCommand,
  },
  {
    name: "logs",
    summary: "what Workers wrote, their requests and failures; --follow prints new entries",
    add: async () => (await import("./commands/logs.ts")).addLogsCommand,
  },
  {
    name: "cron",
    summary: "cron triggers of Workers: list them, or run one now",
    add: async () => (await import("./commands/cron.ts")).addCronCommand,
  },
  {
    name: "status",
    summary: "whether the platform answers, and what runs on it",
    add: async () => (await import("./commands/status.ts")).addStatusCommand,
  },
  {
    name: "doctor",
    summary: "look for problems of this machine and the platform",
    add: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  },
  {
    name: "login",
    summary: "sign in to a platform, with a browser",
    add: async () => (await import("./commands/login.ts")).addLoginCommand,
  },
  {
    name: "logout",
    summary: "forget the login, here and at the platform",
    add: async () => (await import("./commands/login.ts")).addLogoutCommand,
  },
  {
    name: "whoami",
    summary: "show who the commands act as, on which platform, and why",
    add: async () => (await import("./commands/login.ts")).addWhoamiCommand,
  },
  {
    name: "token",
    summary: "API tokens, for CI and other machines",
    add: async () => (await import("./commands/token.ts")).addTokenCommand,
  },
  {
    name: "user",
    summary: "people who may sign in, and their roles",
    add: async () => (await import("./commands/user.ts")).addUserCommand,
  },
  {
    name: "account",
    summary: "accounts: who shares certificates and Workers",
    add: async () => (await import("./commands/account.ts")).addAccountCommand,
  },
  {
    name: "audit",
    summary: "who did what, in a log that shows tampering",
    add: async () => (await import("./commands/audit.ts")).addAuditCommand,
  },
  {
    name: "completion",
    summary: "print the script that completes commands in bash, zsh or fish",
    add: async () => (await import("./commands/completion.ts")).addCompletionCommand,
  },
];
