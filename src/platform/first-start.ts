import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../failures/failures.ts";
import type { MasterKeyVariables } from "../keys/master-key.ts";

/**
 * The data folder has a master key, but no database sealed with it, so the database was lost. An empty installation in
 * its place would answer 404 for every Worker, and look healthy.
 * @throws Failure `database_missing`, unless the first start was interrupted
 */
export function refuseLostDatabase(dataFolder: string, variables: MasterKeyVariables): void {
  const isGiven = Object.values(variables).some((value) => value !== undefined);
  if (isGiven || existsSync(markerOf(dataFolder))) return;
  if (!existsSync(join(dataFolder, "master.key"))) return;
  throw new Failure("database_missing", {
    message: `"${dataFolder}" holds a master key, but no database that was sealed with it`,
    facts: { dataFolder },
  });
}

/** Whether the database's file exists and is not empty. */
export function hasDatabase(dataFolder: string): boolean {
  return (statSync(join(dataFolder, "countersign.db"), { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Until `endFirstStart`, a master key without a database means an interrupted first start. */
export function beginFirstStart(dataFolder: string): void {
  writeFileSync(markerOf(dataFolder), "", { mode: 0o600 });
}

export function endFirstStart(dataFolder: string): void {
  rmSync(markerOf(dataFolder), { force: true });
}

function markerOf(dataFolder: string): string {
  return join(dataFolder, "first-start");
}
