import { openAuthority } from "../../src/dev/authority.ts";
import type { TestAuthority } from "./pki.ts";

/** The project's own development CA, which also issues a server's certificate, made with OpenSSL. */
export async function developmentCa(folder: string): Promise<TestAuthority> {
  const authority = await openAuthority(folder);
  return {
    pem: authority.ca,
    issue: async (request: Parameters<typeof authority.issue>[0]) => {
      const { cert, key } = await authority.issue(request);
      return { chain: cert, key };
    },
  } as unknown as TestAuthority;
}
