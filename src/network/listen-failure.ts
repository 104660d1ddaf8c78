import { Failure, type FailureCode } from "../failures/failures.ts";

const codes: Readonly<Record<string, FailureCode>> = {
  EADDRINUSE: "port_in_use",
  EACCES: "port_not_permitted",
  EPERM: "port_not_permitted",
  EADDRNOTAVAIL: "address_not_here",
  EAFNOSUPPORT: "address_not_here",
  EINVAL: "address_not_here",
  ENOTFOUND: "address_unknown",
  EAI_AGAIN: "address_unknown",
  EAI_NONAME: "address_unknown",
};

/**
 * Why a server cannot listen. @param what the server: `the API`
 */
export function listenFailure(
  what: string,
  { host, port }: { readonly host: string; readonly port: number },
  cause: NodeJS.ErrnoException,
): Failure {
  const code = codes[cause.code ?? ""] ?? "address_not_here";
  return new Failure(code, {
    message: `${what} cannot listen on ${host} port ${port}: ${cause.code ?? cause.message}`,
    cause,
    facts: { host, port },
  });
}
