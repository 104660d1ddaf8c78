import type { Command } from "commander";
import type { Io } from "../../terminal/io.ts";
import { addHostClients } from "./host-clients.ts";

export function addHostCommand(program: Command, io: Io): void {
  const group = program.command("host");
  addHostClients(group, io);
}
