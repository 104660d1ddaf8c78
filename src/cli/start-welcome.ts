import type { Platform } from "../platform/platform-options.ts";
import { formatDuration } from "../terminal/format.ts";
import { colorsFor, writeLine, type Io } from "../terminal/io.ts";

/** What `countersign start` prints once it is ready. @param took ms that the start took */
export function welcome(
  io: Io,
  { api, http, https, workers, accountId, sandbox, users, token }: Platform,
  memory: string,
  took: number,
): void {
  const colors = colorsFor(io, io.stdout);
  const row = (name: string, value: string, note = ""): void =>
    writeLine(
      io.stdout,
      `  ${colors.dim(name.padEnd(8))} ${value}${note && `   ${colors.dim(note)}`}`,
    );
  writeLine(
    io.stdout,
    `${colors.green("✔")} Countersign is ready ${colors.dim(`in ${formatDuration(took)}`)}`,
  );
  writeLine(io.stdout);
  row("API", api);
  row("Workers", http, `http://{script}.localhost:${new URL(http).port}`);
  if (https !== null) row("TLS", https, `https://{script}.localhost:${new URL(https).port || 443}`);
  for (const [name, addresses] of Object.entries(workers)) {
    for (const address of addresses)
      row("Port", address, `the Worker ${name}, without the ingress`);
  }
  row("Account", accountId);
  writeLine(io.stdout, `  ${colors.dim("Sandbox ")} Workers are ${sandbox}`);
  writeLine(io.stdout, `  ${colors.dim("Users   ")} ${users}`);
  writeLine(io.stdout, `  ${colors.dim("Memory  ")} of processes with keys: ${memory}`);
  if (token !== null) row("Token", token, "shown once: only its hash is kept");
  writeLine(io.stdout);
  writeLine(io.stdout, `  Point wrangler here:  ${colors.cyan(`eval "$(npx countersign env)"`)}`);
}
