import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { Failure } from "../../failures/failures.ts";

/** The second choice of RFC 9106 (64 MiB), with the time cost of OWASP's. */
const cost = { memory: 64 * 1024, passes: 3, parallelism: 1 } as const;
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

/** @param stored undefined takes as long, so that nobody learns who has a password */
export async function verifyPassword(
  password: string,
  stored: string | undefined,
): Promise<boolean> {
  const [, parameters, salt, hash] = (stored ?? "").split("$");
  const [, m, t, p] = /^m=(\d+),t=(\d+),p=(\d+)$/.exec(parameters ?? "") ?? [];
  if (!salt || !hash || !m || !t || !p) {
    await derived(password.slice(0, 256), Buffer.alloc(16), cost);
    return false;
  }
  const numbers = { memory: Number(m), passes: Number(t), parallelism: Number(p) };
  const found = await derived(password.slice(0, 256), Buffer.from(salt, "base64url"), numbers);
  return timingSafeEqual(found, Buffer.from(hash, "base64url"));
}

/** 24 characters, 120 random bits: easy to read out, impossible to guess. */
export function makePassword(): string {
  const letters = randomBytes(24).map((byte) => byte % 32);
  return [...letters].map((index) => "abcdefghijkmnpqrstuvwxyz23456789"[index]).join("");
}

async function derived(
  password: string,
  nonce: Buffer,
  { memory, passes, parallelism }: { memory: number; passes: number; parallelism: number },
): Promise<Buffer> {
  const message = Buffer.from(password.normalize("NFKC"), "utf8");
  return derive("argon2id", { message, nonce, memory, passes, parallelism, tagLength: 32 });
}
