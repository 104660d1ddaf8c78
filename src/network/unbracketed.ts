/** `[::1]`, as a URL has it, is the address `::1`. Any other host is itself. */
export function unbracketed(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}
