// Which resource a request is for. Every binding of every Worker has a capability of its own, set by
// its process's configuration: the kind, the id, and what proves that the platform gave it.

const HEADER = "cs-resource";
const known = new Map();
const MOST_KNOWN = 10_000;
let key;

/** The id of the resource, or null where the capability is none for this kind. */
export async function resourceOf(request, env, kind) {
  const given = request.headers.get(HEADER);
  if (given === null) return null;
  const at = given.lastIndexOf(".");
  const named = given.slice(0, at);
  if (at < 0 || !named.startsWith(`${kind}:`)) return null;
  if (!known.has(given)) {
    if (!(await isProved(named, given.slice(at + 1), env))) return null;
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(given, named.slice(kind.length + 1));
  }
  return known.get(given);
}

async function isProved(named, proof, env) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  key ??= crypto.subtle.importKey("raw", bytes(env.CAPABILITY_KEY), algorithm, false, ["verify"]);
  if (!/^[0-9a-f]{64}$/.test(proof)) return false;
  const text = new TextEncoder().encode(named);
  return crypto.subtle.verify("HMAC", await key, bytes(proof), text);
}

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));

export const notBound = () => new Response("not bound", { status: 403 });
