import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/**
 * Bearer tokens that mean nothing without the database. All kinds have one form:
 *
 *     mcp_ 8dkWm3…(43 base62 digits: 256 random bits) 0aZ91x (6 base62 digits: CRC-32 of all before them)
 *
 * The prefix and the checksum let secret scanners find a leaked token with certainty, and let the gateway refuse
 * a mistyped one without asking the database.
 */
export type TokenPrefix = "mcp" | "mss" | "mrt" | "inv";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const secretLength = 43;
const checksumLength = 6;
const startLength = 8;

export interface OpaqueToken {
  /** The token itself. Shown to its holder once, stored nowhere. */
  token: string;
  /** SHA-256 of the token, for the database. 256 random bits need no slow hash and no constant-time comparison. */
  hash: Buffer;
  /** The first characters, so that its holder can tell two tokens apart. */
  start: string;
}

/**
 * Mints a token.
 * @param random source of random bytes; the system's unless a test says otherwise
 */
export function mintToken(prefix: TokenPrefix, random: (size: number) => Buffer = randomBytes): OpaqueToken {
  const body = `${prefix}_${toBase62(BigInt(`0x${random(32).toString("hex")}`), secretLength)}`;
  const token = body + checksum(body);
  return { token, hash: hashToken(token), start: token.slice(0, startLength) };
}

/**
 * The hash to look a token up by, or null when this cannot be a token of that kind. Callers answer null exactly
 * as they answer an unknown token, so that the checksum is no oracle.
 */
export function digestToken(prefix: TokenPrefix, token: string): Buffer | null {
  if (token.length !== prefix.length + 1 + secretLength + checksumLength) return null;
  if (!token.startsWith(`${prefix}_`) || !/^[0-9A-Za-z]+$/.test(token.slice(prefix.length + 1))) return null;
  const body = token.slice(0, -checksumLength);
  return token.endsWith(checksum(body)) ? hashToken(token) : null;
}

function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function checksum(body: string): string {
  return toBase62(BigInt(crc32(body)), checksumLength);
}

function toBase62(value: bigint, length: number): string {
  let digits = "";
  for (let rest = value; digits.length < length; rest /= 62n)
    digits = alphabet.charAt(Number(rest % 62n)) + digits;
  return digits;
}
