/**
 * Every way in which a Worker may read a path: as it stands, with its escapes decoded once or twice,
 * with `\` as `/`, without empty parts, and `..` followed in each. None has the query.
 */
export function readingsOf(path: string): readonly string[] {
  const raw = path.replace(/[?#].*$/s, "");
  const plain = resolved(raw);
  const once = resolved(decoded(plain));
  const twice = resolved(decoded(once));
  const readings = [plain, once, twice].flatMap((one) => [one, resolved(collapsed(one))]);
  for (const one of [raw, decoded(raw), decoded(decoded(raw))]) {
    readings.push(resolved(collapsed(one)));
  }
  return [...new Set(readings)];
}

function resolved(path: string): string {
  const kept: string[] = [];
  const parts = path.split("/");
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const dots = part.replaceAll(/%2e/gi, ".");
    if (dots === ".." && kept.length > 1) kept.pop();
    if (dots !== "." && dots !== "..") kept.push(part);
    else if (isLast) kept.push("");
  }
  const joined = kept.join("/");
  return joined.startsWith("/") ? joined : `/${joined}`;
}

/** Each escape by itself: one that is no UTF-8 leaves the others decoded. */
function decoded(path: string): string {
  return path.replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) =>
    Buffer.from(escapes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

function collapsed(path: string): string {
  return path.replaceAll(/[\\/]+/g, "/");
}

/** Whether a path is what an application's path covers: itself, and all below it. */
export function covers(prefix: string, path: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === "/");
}
