import { refusalByDefault } from "../../network/addresses.ts";

export interface RefusedAddress {
  readonly address: string;
  readonly port: number;
  readonly message: string;
}

/**
 * The Worker itself reads only `internal error` when workerd does not connect to an address. What
 * workerd writes to its log then, as a sentence for the operator of the platform. Null: another line.
 */
export function refusedAddress(line: string): RefusedAddress | null {
  const [, address, port] = /connecting to (\S+):(\d+) is not allowed/.exec(line) ?? [];
  if (address === undefined) return null;
  const why = refusalByDefault(address) ?? "it is private, denied, or the platform listens there";
  return {
    address,
    port: Number(port),
    message: `a connection of the Worker to ${address} port ${port} was refused: ${why}. \`start --fetch-allow\` opens addresses to fetch() and connect() without a binding`,
  };
}
