/** What is known of a host by its own name, or by the nearest wildcard above it. */
export function nearest<T>(known: ReadonlyMap<string, T>, host: string): T | null {
  const exact = known.get(host);
  if (exact !== undefined) return exact;
  const name = host.startsWith("*.") ? host.slice(2) : host;
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
    const found = known.get(`*${name.slice(dot)}`);
    if (found !== undefined) return found;
  }
  return null;
}
