import type { Place } from "../keys/places.ts";
import type { SealedBody } from "../keys/seal.ts";
import type { HiddenTexts } from "../keys/secret-texts.ts";
import type { CertificateUpload, ParsedAuthority, ParsedLeaf } from "./certificate-upload.ts";

/**
 * Takes what may hold a private key. Only the intake makes text of it, judges it, and seals it:
 * the process that handles the request hands bytes over, and wipes them.
 */
export interface KeyIntake {
  /**
   * The JSON body of a request. Each chunk is wiped once it is handed over.
   * @throws Failure `body_not_json`, `text_not_unicode`, `json_too_deep`, `edge_process_ended`; what `body` throws
   */
  receive(body: AsyncIterable<Uint8Array>): Promise<HeldUpload>;
  /** The two files of a pair, which are wiped. @throws Failure `edge_process_ended` */
  receivePair(pair: PairBytes): Promise<HeldUpload>;
  /**
   * JSON with secrets: of the body of a request, or of a part of its form. Each chunk is wiped.
   * @throws Failure `body_not_json`, `text_not_unicode`, `json_too_deep`, `edge_process_ended`; what `body` throws
   */
  receiveTexts(body: AsyncIterable<Uint8Array>): Promise<HiddenTexts>;
}

export interface PairBytes {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
}

/** An upload whose text the intake has, until it is let go. */
export interface HeldUpload extends Disposable {
  /** The body without what may hold a key: all texts but `name` and `bundle_method` are empty. */
  readonly fields: unknown;
  /**
   * @param place where the key is going to be stored, if that is known already: it is sealed at once then, the intake
   * lets it go, and it can be sealed for no other place
   * @throws Failure of `parseUpload`
   */
  judge(terms: UploadTerms, place?: Place): Promise<JudgedUpload>;
}

/** By what an upload is judged. */
export type UploadTerms = Omit<CertificateUpload, "certificates" | "privateKey">;

export type JudgedUpload = JudgedLeaf | ParsedAuthority;

/** A certificate whose key the intake has. */
export interface JudgedLeaf extends Omit<ParsedLeaf, "privateKey"> {
  /** Seals the key for its place, once. Not after its upload was let go. */
  sealKey(place: Place): Promise<SealedBody>;
}
