import { makeAuthority, type TestAuthority, type TestCertificate } from "../test/helpers/pki.ts";
import type { Lab } from "./lab.ts";

/** One CA, the origin's certificate and a client's, in memory and as files in the lab's folder. */
export interface Material {
  readonly authority: TestAuthority;
  readonly server: TestCertificate;
  readonly client: TestCertificate;
  readonly files: {
    readonly authority: string;
    readonly serverChain: string;
    readonly serverKey: string;
    readonly clientChain: string;
    readonly clientKey: string;
    /** Chain and key in one file, for HAProxy. */
    readonly clientBoth: string;
  };
}

export async function makeMaterial(lab: Lab): Promise<Material> {
  const authority = await makeAuthority("Bench CA");
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const client = await authority.issue({ subject: "CN=bench client" });
  return {
    authority,
    server,
    client,
    files: {
      authority: await lab.write("ca.pem", authority.pem),
      serverChain: await lab.write("server.pem", server.chain),
      serverKey: await lab.write("server.key", server.key),
      clientChain: await lab.write("client.pem", client.chain),
      clientKey: await lab.write("client.key", client.key),
      clientBoth: await lab.write("client-both.pem", client.chain + client.key),
    },
  };
}
