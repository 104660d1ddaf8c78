import { Command } from "commander";
import { readFileSync } from "node:fs";
import { addAccountCommand } from "./commands/account.ts";
import { addAuditCommand } from "./commands/audit.ts";
import { addBackupCommand, addRestoreCommand } from "./commands/backup.ts";
import { addBindingCommand } from "./commands/binding.ts";
import { addCaCommand } from "./commands/ca.ts";
import { addCertificateCommand } from "./commands/certificate.ts";
import { addDeployCommand } from "./commands/deploy.ts";
import { addDevCommand } from "./commands/dev.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addEnvCommand } from "./commands/env.ts";
import { addInitCommand } from "./commands/init.ts";
import { addKeysCommand } from "./commands/keys.ts";
import { addStartCommand } from "./commands/start.ts";
import { addTokenCommand } from "./commands/token.ts";
import { addUserCommand } from "./commands/user.ts";
import { addZoneCommand } from "./commands/zone.ts";
import { isTerminal, type Io } from "../terminal/io.ts";

/** Every command there is. */
export function createProgram(io: Io): Command {
  const program = new Command("countersign")
    .description("Mutual TLS for Workers, on machines you own.")
    .version(version(), "-v, --version")
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHasColors: () => isTerminal(io.stdout),
      getErrHasColors: () => isTerminal(io.stderr),
    })
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError("(countersign --help shows what there is)")
    .addHelpText(
      "after",
      `
Examples:
  $ countersign dev                       # wrangler dev, with mTLS bindings
  $ countersign start                     # the platform, on this machine
  $ eval "$(countersign env)"             # point wrangler at it
  $ wrangler mtls-certificate upload --cert cert.pem --key key.pem --name my-cert
  $ countersign deploy                    # wrangler deploy, then the URL that answers`,
    );
  addDevCommand(program, io);
  addInitCommand(program, io);
  addStartCommand(program, io);
  addEnvCommand(program, io);
  addDeployCommand(program, io);
  addCertificateCommand(program, io);
  addCaCommand(program, io);
  addBindingCommand(program, io);
  addZoneCommand(program, io);
  addKeysCommand(program, io);
  addBackupCommand(program, io);
  addRestoreCommand(program, io);
  addDoctorCommand(program, io);
  addTokenCommand(program, io);
  addUserCommand(program, io);
  addAccountCommand(program, io);
  addAuditCommand(program, io);
  return program;
}

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
