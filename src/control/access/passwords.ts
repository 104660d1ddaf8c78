import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { Failure } from "../../failures/failures.ts";

/** The second recommended option of RFC 9106 (64 MiB), with OWASP's time cost. */
const cost: Costs = { memory: 64 * 1024, passes: 3, parallelism: 1 };
const derive = promisify(argon2);

/**
 * @returns `argon2id$m=65536,t=3,p=1$<salt>$<hash>`, base64url
 * @throws Failure `password_weak` unless it has 12 to 256 characters
 */
export async function hashPassword(password: string): Promise<string> {
  if (password.length < 12 || password.length > 256) {
    throw new Failure("password_weak", {
      message: `the password has ${password.length} characters, which is not 12 to 256`,
    });
  }
  const salt = randomBytes(16);
  const hash = await derived(password, salt, cost);
  const { memory, passes, parallelism } = cost;
  return [
    "argon2id",
    `m=${memory},t=${passes},p=${parallelism}`,
    salt.toString("base64url"),
    hash.toString("base64url"),
  ].join("$");
}

/** @param stored if it is undefined or not a hash, this takes as long, so nobody learns who has a password */
export async function verifyPassword(
  password: string,
  stored: string | undefined,
): Promise<boolean> {
  const kept = stored === undefined ? null : parsed(stored);
  const { salt, costs } = kept ?? { salt: Buffer.alloc(16), costs: cost };
  const found = await derived(password.slice(0, 256), salt, costs);
  return kept !== null && timingSafeEqual(found, kept.hash);
}

/** Null: the text is not a hash of ours. */
function parsed(stored: string): { costs: Costs; salt: Buffer; hash: Buffer } | null {
  const match = KEPT.exec(stored);
  if (match === null) return null;
  const [memory, passes, parallelism] = match.slice(1, 4).map(Number) as [number, number, number];
  const [salt, hash] = match.slice(4).map((text) => Buffer.from(text, "base64url"));
  return { costs: { memory, passes, parallelism }, salt: salt!, hash: hash! };
}

const KEPT = /^argon2id\$m=(\d+),t=(\d+),p=(\d+)\$([\w-]{22})\$([\w-]{43})$/;

/** 24 characters with 120 random bits: easy to read out, impossible to guess. */
export function makePassword(): string {
  const letters = randomBytes(24).map((byte) => byte % 32);
  return [...letters].map((index) => "abcdefghijkmnpqrstuvwxyz23456789"[index]).join("");
}

async function derived(password: string, nonce: Buffer, costs: Costs): Promise<Buffer> {
  const message = Buffer.from(password.normalize("NFKC"));
  return derive("argon2id", { message, nonce, ...costs, tagLength: 32 });
}

interface Costs {
  /** KiB */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}
