import { Failure } from "../failures/failures.ts";
import { parseSentJson } from "../keys/json-text.ts";
import type { Place } from "../keys/places.ts";
import { sealBody, type SealedBody } from "../keys/seal.ts";
import { hideTexts, type HiddenTexts } from "../keys/secret-texts.ts";
import type { ParsedAuthority, ParsedLeaf } from "./certificate-upload.ts";
import type { HeldUpload, JudgedUpload, KeyIntake, PairBytes, UploadTerms } from "./key-intake.ts";
import { parseUpload } from "./parse.ts";

/** The text of one upload, in the process that may see it. */
export class UploadText {
  readonly fields: unknown;
  readonly #certificates: string;
  readonly #privateKey: string;
  #parsed: ParsedLeaf | null = null;

  private constructor(fields: unknown, certificates: string, privateKey: string) {
    this.fields = fields;
    this.#certificates = certificates;
    this.#privateKey = privateKey;
  }

  /** A JSON body, or the two files of a pair. @throws Failure `body_not_json`, `text_not_unicode`, `json_too_deep` */
  static of(received: Buffer | PairBytes): UploadText {
    return "key" in received ? UploadText.#ofPair(received) : UploadText.#ofBody(received);
  }

  static #ofBody(body: Buffer): UploadText {
    const value = parseJson(body);
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return new UploadText(withoutText(value), "", "");
    }
    const fields = Object.entries(value).map(([name, field]) => [name, shownField(name, field)]);
    // Cloudflare calls it `certificate` where a host presents it.
    const { certificate, certificates = certificate, private_key: key } = value as Fields;
    return new UploadText(Object.fromEntries(fields), textOf(certificates), textOf(key));
  }

  static #ofPair({ certificate, key }: PairBytes): UploadText {
    return new UploadText(null, asText(certificate), asText(key));
  }

  /** @throws Failure of `parseUpload` */
  parse(terms: UploadTerms): ParsedLeaf | ParsedAuthority {
    return parseUpload({
      ...terms,
      certificates: this.#certificates,
      ...(this.#privateKey !== "" && { privateKey: this.#privateKey }),
    });
  }

  /** The same, without the key. It can be sealed from then on. @throws Failure of `parseUpload` */
  judge(terms: UploadTerms): Omit<ParsedLeaf, "privateKey"> | ParsedAuthority {
    const parsed = this.parse(terms);
    if (parsed.kind === "ca") return parsed;
    this.#parsed = parsed;
    const { privateKey: _, ...shown } = parsed;
    return shown;
  }

  sealKey(place: Place): SealedBody {
    if (this.#parsed === null) throw new Failure("internal", { message: "no key was judged" });
    return sealBody(place, this.#parsed.privateKey);
  }
}

/** The intake of a program that may see keys itself: tests, and control planes without processes. */
export const intakeHere: KeyIntake = {
  receive: async (body) => {
    return held(UploadText.of(await whole(body)));
  },
  receivePair: (pair) => Promise.resolve(held(UploadText.of(pair))),
  receiveTexts: async (body) => textsIn(await whole(body)),
};

/** A parsed upload as an intake gives it. */
export function judgedHere(parsed: ParsedLeaf | ParsedAuthority): JudgedUpload {
  if (parsed.kind === "ca") return parsed;
  const { privateKey, ...judged } = parsed;
  return { ...judged, sealKey: async (place) => sealBody(place, privateKey) };
}

/** JSON with secrets. @throws Failure `body_not_json`, `text_not_unicode`, `json_too_deep` */
export function textsIn(received: Buffer | PairBytes): HiddenTexts {
  return hideTexts(parseJson("key" in received ? received.key : received));
}

function held(text: UploadText): HeldUpload {
  return {
    fields: text.fields,
    judge: async (terms) => judgedHere(text.parse(terms)),
    [Symbol.dispose]: () => {},
  };
}

async function whole(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parseJson(body: Uint8Array): unknown {
  try {
    return parseSentJson(asText(body));
  } catch (error) {
    throw error instanceof Failure ? error : new Failure("body_not_json");
  }
}

/** As `Request.text()` reads it: without a byte order mark. */
function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

type Fields = Readonly<Record<string, unknown>>;

const SHOWN: ReadonlySet<string> = new Set(["name", "bundle_method"]);

/** A field for the process that may see no key. Its type stays, which a schema judges there. */
function shownField(name: string, value: unknown): unknown {
  if (!SHOWN.has(name) || typeof value !== "string") return withoutText(value);
  return value.includes("PRIVATE KEY") ? NO_NAME : value.slice(0, NO_NAME.length);
}

/** Longer than a name may be: the schema refuses it. */
const NO_NAME = "-".repeat(1024);

function withoutText(value: unknown): unknown {
  if (typeof value === "string") return "";
  if (Array.isArray(value)) return [];
  return typeof value === "object" && value !== null ? {} : value;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
