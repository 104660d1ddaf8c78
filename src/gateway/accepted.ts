import { spawn } from "node:child_process";
import { isIPv6 } from "node:net";

/**
 * The CAs that an origin says it accepts client certificates from. Node reads this part of the
 * handshake and does not hand it out, so OpenSSL's own client is asked, without a certificate.
 * Null: it is not installed, or did not get that far.
 * @param address where the origin was found: checked already
 */
export async function acceptedAuthorities(
  address: string,
  port: number,
  servername: string,
): Promise<readonly string[] | null> {
  const at = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  const name = servername === "" ? ["-noservername"] : ["-servername", servername];
  const child = spawn("openssl", ["s_client", "-connect", at, ...name, "-nameopt", "RFC2253"], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: TIMEOUT,
  });
  const failed = new Promise<null>((fulfil) => child.once("error", () => fulfil(null)));
  const output = await Promise.race([text(child.stdout), failed]);
  return output === null ? null : parseAuthorities(output);
}

/** @param output of `openssl s_client`. Null: it says nothing of a request for a certificate. */
export function parseAuthorities(output: string): readonly string[] | null {
  if (/^No client certificate CA names sent$/m.test(output)) return [];
  const match =
    /^Acceptable client certificate CA names\n((?:(?!---|Requested |Client Cert|Peer ).+\n)*)/m.exec(
      output,
    );
  return match === null ? null : match[1]!.split("\n").filter((line) => line !== "");
}

/** In ms. */
const TIMEOUT = 5_000;

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  for await (const chunk of stream) all += String(chunk);
  return all;
}
