import type { Command } from "commander";
import type { Io } from "../../../terminal/io.ts";
import { addHostAcme } from "./host-acme.ts";
import { addHostCertificate } from "./host-certificate.ts";
import { addHostClients } from "./host-clients.ts";
import { addHostCrl } from "./host-crl.ts";
import { addHostOrigin } from "./host-origin.ts";
import { addHostOriginCa } from "./host-origin-ca.ts";
import { addHostReading } from "./host-show.ts";
import { addHostTest } from "./host-test.ts";

export function addHostCommand(program: Command, io: Io): void {
  const group = program.command("host");
  addHostReading(group, io);
  addHostCertificate(group, io);
  addHostAcme(group, io);
  addHostClients(group, io);
  addHostCrl(group, io);
  addHostOrigin(group, io);
  addHostOriginCa(group, io);
  addHostTest(group, io);
}
