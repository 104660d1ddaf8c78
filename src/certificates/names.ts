/**
 * RFC 2253 order without spaces, as Cloudflare prints it: `CN=Root CA,O=Acme,C=US`.
 * @param name as Node prints it: a relative name a line, the outermost first, escaped after RFC 2253
 */
export function reversedName(name: string | undefined): string {
  // A plus sign in a value is escaped, so that " + " only ever joins a multi-valued name.
  return (name ?? "").split("\n").toReversed().join(",").replaceAll(" + ", "+");
}
