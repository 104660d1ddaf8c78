/** One hop's element of `x-forwarded-client-cert`. */
export interface ForwardedClientCert {
  /** SHA-256 of the client's certificate, hexadecimal, lower case. */
  readonly hash: string | null;
  /** Percent-encoded PEM. */
  readonly cert: string | null;
  readonly subject: string | null;
  readonly uris: readonly string[];
}

/**
 * Envoy's `x-forwarded-client-cert`: `Hash=…;Cert="…";Subject="…";URI=…,Hash=…`. One element per hop, the nearest
 * proxy's last.
 * @returns null if it cannot be read without guessing
 */
export function readForwardedClientCert(value: string): readonly ForwardedClientCert[] | null {
  if (value.length > 262_144) return null;
  const elements: ForwardedClientCert[] = [];
  let at = 0;
  let pairs: [string, string][] = [];
  while (at <= value.length) {
    const pair = PAIR.exec(value.slice(at));
    if (pair === null) return null;
    pairs.push([pair[1]!.toLowerCase(), unquote(pair[2]!)]);
    at += pair[0].length;
    const separator = value[at];
    if (separator !== ";") {
      const element = elementOf(pairs);
      if (element === null) return null;
      elements.push(element);
      pairs = [];
    }
    if (separator === undefined) return elements;
    if (separator !== ";" && separator !== ",") return null;
    at++;
  }
  return null;
}

const PAIR =
  /^ *(By|Hash|Cert|Chain|Subject|URI|DNS)=("(?:[^"\\]|\\.)*"|[^",;=\s]*(?:=[^",;\s]*)*)/i;

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll(/\\(.)/g, "$1") : text;
}

/** Null: a part that may occur once occurs twice. */
function elementOf(pairs: readonly [string, string][]): ForwardedClientCert | null {
  const once = (key: string): string | null | undefined => {
    const found = pairs.filter(([name]) => name === key);
    return found.length > 1 ? undefined : (found[0]?.[1] ?? null);
  };
  const [hash, cert, subject] = [once("hash"), once("cert"), once("subject")];
  if (hash === undefined || cert === undefined || subject === undefined) return null;
  if (hash !== null && !/^[0-9a-f]{64}$/i.test(hash)) return null;
  const uris = pairs.filter(([name, uri]) => name === "uri" && uri !== "").map(([, uri]) => uri);
  return { hash: hash?.toLowerCase() ?? null, cert, subject, uris };
}
