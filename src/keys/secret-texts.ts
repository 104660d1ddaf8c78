import { randomUUID } from "node:crypto";
import { requestPlace, type Place } from "./places.ts";
import { openBody, sealBody, type Keyring, type Sealed, type SealedBody } from "./seal.ts";

/** The most secrets of one version. */
export const MOST_TEXTS = 1000;

/** Bytes of one secret. It is a variable of its process's environment, and the kernel takes none of 128 KiB. */
export const LONGEST_TEXT: number = 125 * 1024;

/** Bytes of all secrets of a version: Linux gives an environment 2 MiB, with all else that a process begins with. */
export const MOST_TEXT_BYTES: number = 1536 * 1024;

/** JSON of a request without its secrets: each is a word in its place, and sealed beside it. */
export interface HiddenTexts {
  readonly fields: unknown;
  readonly sealed: readonly (readonly [word: string, text: SealedBody])[];
}

/**
 * For the process that may see secrets: the `text` of a `secret_text`, by itself, in `bindings` or by
 * name in `secrets` and `env`; `origin.password`, and `external_account.hmac_key`. Elsewhere such fields are somebody's own.
 */
export function hideTexts(value: unknown): HiddenTexts {
  const id = randomUUID();
  const sealed: [string, SealedBody][] = [];
  const hide = (text: string): string => {
    if (text === "") return "";
    const word = alike(text, `secret-${id}-${sealed.length}`);
    sealed.push([word, sealBody(requestPlace, text)]);
    return word;
  };
  // Too many secrets are refused before any further work.
  const secretOf =
    (among: number) =>
    (one: unknown): unknown => {
      if (!isObject(one) || one["type"] !== "secret_text") return one;
      return withHidden(one, "text", among > MOST_TEXTS ? () => "" : hide);
    };
  if (!isObject(value)) return { fields: value, sealed };
  const fields = mapped(secretOf(1)(value), (field, name) => {
    if (name === "bindings" && Array.isArray(field)) return field.map(secretOf(field.length));
    if ((name === "secrets" || name === "env") && isObject(field)) {
      return mapped(field, secretOf(Object.keys(field).length));
    }
    const secret = IN_OBJECTS[name];
    return secret !== undefined && isObject(field) ? withHidden(field, secret, hide) : field;
  });
  return { fields, sealed };
}

/** Objects that have one secret, and its name in them. */
const IN_OBJECTS: Readonly<Partial<Record<string, string>>> = Object.assign(
  Object.create(null) as object,
  { origin: "password", external_account: "hmac_key" },
);

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function mapped(value: unknown, change: (field: unknown, name: string) => unknown): Fields {
  const entries = Object.entries(value as Fields);
  return Object.fromEntries(entries.map(([name, field]) => [name, change(field, name)]));
}

function withHidden(value: Fields, name: string, hide: (text: string) => string): Fields {
  return mapped(value, (field, of) =>
    of === name && typeof field === "string" ? hide(field) : field,
  );
}

/** The schema checks the word in place of the text: one character stands for each of its bytes. */
function alike(text: string, word: string): string {
  const long = word.padEnd(Math.min(Buffer.byteLength(text), LONGEST_TEXT + 1), "-");
  return /\p{Cc}/u.test(text) ? `${long}\n` : long;
}

/** The secrets of one request, until it is answered. */
export class SecretTexts implements Disposable {
  readonly #sealed: ReadonlyMap<string, SealedBody>;

  constructor(sealed: HiddenTexts["sealed"] = []) {
    this.#sealed = new Map(sealed);
  }

  /** @param text what stands in the request: a word of ours, or a secret that nobody has hidden */
  seal(keyring: Keyring, place: Place, text: string): Sealed {
    const sealed = this.#sealed.get(text);
    if (sealed === undefined) return keyring.seal(place, text);
    const plaintext = openBody(requestPlace, sealed);
    try {
      return keyring.seal(place, plaintext);
    } finally {
      plaintext.fill(0);
    }
  }

  [Symbol.dispose](): void {
    for (const { dataKey } of this.#sealed.values()) dataKey.fill(0);
  }
}
