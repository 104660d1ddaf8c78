import type { KeyIntake } from "../../certificates/key-intake.ts";
import { Failure } from "../../failures/failures.ts";
import { SecretTexts, type HiddenTexts } from "../../keys/secret-texts.ts";
import { assertForm, boundaryOf, formIn, formType } from "./body.ts";

export interface SecretForm {
  readonly body: FormData;
  readonly texts: SecretTexts;
}

/**
 * Reads a multipart form whose JSON parts may have secrets. Those parts are handed to the intake, and wiped here before
 * anything makes strings of them.
 *
 * @throws Failure as `readForm`, `too_many_parts`
 */
export async function readSecretForm(
  request: Request,
  chunks: AsyncIterable<Uint8Array>,
  intake: KeyIntake,
): Promise<SecretForm> {
  assertForm(request);
  const received: Uint8Array[] = [];
  for await (const chunk of chunks) received.push(chunk);
  const body = Buffer.concat(received);
  const type = formType(request, body);
  const parts = secretParts(body, boundaryOf(type));
  if (parts.length === 0) return { body: await formIn(body, type), texts: new SecretTexts() };
  for (const chunk of received) chunk.fill(0);
  try {
    const pieces: Uint8Array[] = [];
    const sealed: HiddenTexts["sealed"][number][] = [];
    let at = 0;
    for (const { start, end } of parts) {
      const hidden = await hiddenIn(body.subarray(start, end), intake);
      pieces.push(body.subarray(at, start), Buffer.from(hidden?.json ?? NO_JSON));
      sealed.push(...(hidden?.sealed ?? []));
      at = end;
    }
    pieces.push(body.subarray(at));
    return { body: await formIn(Buffer.concat(pieces), type), texts: new SecretTexts(sealed) };
  } finally {
    for (const { start, end } of parts) body.fill(0, start, end);
  }
}

/** Stands for a part that is not JSON; the endpoint then refuses it in its own words. */
const NO_JSON = "{";

async function hiddenIn(
  part: Uint8Array,
  intake: KeyIntake,
): Promise<{ readonly json: string; readonly sealed: HiddenTexts["sealed"] } | null> {
  try {
    const { fields, sealed } = await intake.receiveTexts(once(part));
    return { json: JSON.stringify(fields), sealed };
  } catch (error) {
    if (error instanceof Failure && error.code === "body_not_json") return null;
    throw error;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** The names of the parts with a script's metadata or settings. */
const NAMED = /^content-disposition:[^\r\n]*;\s*name="?(?:metadata|settings)"?\s*(?:;|\r|$)/im;
const BLANK = Buffer.from("\r\n\r\n");
/** Bytes of a part's head; none of our parts has a longer one. */
const LONGEST_HEAD = 4096;

/** Clients send one such part; each takes a call of the intake. */
const MOST_PARTS = 4;

function tooMany(): Failure {
  return new Failure("too_many_parts", {
    message: `the form has more than ${MOST_PARTS} parts "metadata" or "settings" with secrets`,
    facts: { limit: MOST_PARTS },
  });
}

/** The contents of the parts that contain secrets. */
function secretParts(body: Buffer, boundary: string | undefined): readonly Span[] {
  if (boundary === undefined) return [];
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const found: Span[] = [];
  let at = body.indexOf(delimiter.subarray(2));
  while (at !== -1) {
    const head = at + delimiter.length - 2;
    const blank = body.indexOf(BLANK, head);
    // The line break before a delimiter belongs to the delimiter.
    const end = blank === -1 ? -1 : body.indexOf(delimiter, blank + 2);
    if (end === -1) break;
    const start = blank + BLANK.length;
    const isNamed =
      blank - head <= LONGEST_HEAD && NAMED.test(body.toString("latin1", head, blank + 2));
    if (isNamed && end > start && body.subarray(start, end).includes("secret_text")) {
      found.push({ start, end });
      if (found.length > MOST_PARTS) throw tooMany();
    }
    at = end + 2;
  }
  return found;
}
