import type { UploadTerms } from "../certificates/key-intake.ts";
import type { ParsedAuthority, ParsedLeaf } from "../certificates/certificate-upload.ts";
import type { Place } from "../keys/places.ts";
import type { SealedBody } from "../keys/seal.ts";
import type { HiddenTexts } from "../keys/secret-texts.ts";

/** What the intake process is asked. Keys come over a pipe of their own. */
export interface IntakeCalls {
  /** The upload has been sent whole. @returns what may be shown of it */
  open(id: number): Promise<unknown>;
  /** The same, of a request with secrets. */
  openTexts(id: number): Promise<HiddenTexts>;
  /** With a place, a key is sealed for it, and the upload is let go. */
  judge(id: number, terms: UploadTerms, place: Place | null): Judged;
  seal(id: number, place: Place): SealedBody;
  release(id: number): void;
  /** Writes a request of zeros over the other pipe. @returns once all of it is in the pipe */
  wash(): Promise<void>;
}

/** Without the key. `sealed` is null where no place was given. */
export type Judged = JudgedKey | ParsedAuthority;

export interface JudgedKey extends Omit<ParsedLeaf, "privateKey"> {
  readonly sealed: SealedBody | null;
}

/** File descriptors of the intake process; 3 is its supervisor's channel. */
export const UPLOADS_FD = 4;
export const WASH_FD = 5;

/** What a frame holds. The last one of an upload is empty. */
export const FRAME = { body: 0, certificate: 1, key: 2, end: 3, texts: 4 } as const;

/** Upload, kind, bytes that follow. */
export const HEADER_BYTES = 9;

export function frameHeader(id: number, kind: number, length: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(id, 0);
  header.writeUInt8(kind, 4);
  header.writeUInt32BE(length, 5);
  return header;
}
