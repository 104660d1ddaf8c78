/**
 * Every way in which a Worker may read a path: as it stands (`request.url` says so), with its escapes
 * decoded once or twice, with `\` as `/`, without empty parts, with `..` followed, and with these after
 * one another in any order. None has the query; the first is as the URL parser reads what has no `\`.
 *
 * @returns null if there are more than anybody reads, or a long path would cost much to read
 */
export function readingsOf(path: string): readonly string[] | null {
  const raw = path.replace(/[?#].*$/s, "");
  const hasManyWays = MANY_WAYS.test(raw);
  if (hasManyWays && raw.length > LONGEST) return null;
  const readings = new Set([resolved(raw), raw]);
  if (!hasManyWays) return [...readings];
  for (let decodedTimes = 0; ; decodedTimes += 1) {
    // What is added is looked at as well.
    for (const one of readings) {
      for (const read of [slashed, collapsed, resolved, followed]) readings.add(read(one));
      if (readings.size > MOST_READINGS) return null;
    }
    if (decodedTimes === 2) return [...readings];
    for (const one of new Set(readings)) readings.add(decoded(one));
  }
}

/** An escape, a backslash, an empty part, or one that begins with a dot. */
const MANY_WAYS = /[%\\]|\/[/.]/;
const MOST_READINGS = 64;
/** Characters of a path that can be read in many ways. */
const LONGEST = 2_048;

/** As the URL parser does it, to which `%2e` is a dot. */
function resolved(path: string): string {
  return withoutDots(path, (part) => part.replaceAll(/%2e/gi, "."));
}

function followed(path: string): string {
  return withoutDots(path, (part) => part);
}

function withoutDots(path: string, read: (part: string) => string): string {
  const kept: string[] = [];
  const parts = path.split("/");
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const dots = read(part);
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

/** As the URL parser takes it. */
function slashed(path: string): string {
  return path.replaceAll("\\", "/");
}

function collapsed(path: string): string {
  return path.replaceAll(/\/+/g, "/");
}

/** Whether a path is what an application's path covers: itself, and all below it. */
export function covers(prefix: string, path: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === "/");
}
