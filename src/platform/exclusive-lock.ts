import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/**
 * Locks by an exclusive transaction on a database of its own, mode 0600. The kernel releases it when the process ends in
 * any way, which a pid file cannot promise.
 * @returns what releases it
 * @throws what SQLite says, at once: `SQLITE_BUSY` if another process has it
 */
export function exclusiveLock(file: string): () => void {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    // Workers' processes may pass through the folder: docs/security.md.
    chmodSync(file, 0o600);
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    throw error;
  }
  return () => database.close();
}
