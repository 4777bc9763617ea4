import { createHash } from "node:crypto";

/** Raised for a keyring that cannot be used. The message never contains key material. */
export class KeyringError extends Error {
  override readonly name = "KeyringError";
}

/**
 * The key-encryption keys of an installation. They live outside the database and wrap everything in it that
 * must stay secret when the database leaks.
 */
export interface Keyring {
  /** Names the key that wraps new things. */
  readonly activeKid: string;
  /** All keys that can unwrap, by kid. */
  readonly keys: ReadonlyMap<string, Buffer>;
}

const kidPattern = /^[a-z0-9][a-z0-9-]{0,31}$/;
const keyPattern = /^[0-9a-fA-F]{64}$/;

/**
 * Reads `MASTER_KEY`: either 64 hexadecimal digits, or several as `kid:hex,kid:hex` with the active one first.
 * A lone key's kid is derived from the key, so that a wrong key is told apart from the right one by name.
 * @throws KeyringError for anything that is not exactly 32 bytes of hex, for a key that is plainly not random,
 *   and for a kid or key that occurs twice
 */
export function parseKeyring(text: string): Keyring {
  const keys = new Map<string, Buffer>();
  const seen = new Set<string>();
  for (const entry of text.trim().split(",")) {
    const separator = entry.indexOf(":");
    const hex = entry.slice(separator + 1).trim();
    if (!keyPattern.test(hex)) {
      throw new KeyringError(
        "every key must be exactly 64 hexadecimal digits (32 bytes); make one with: openssl rand -hex 32",
      );
    }
    const key = Buffer.from(hex, "hex");
    // Random bytes have about 30 different values among 32; sample keys have a handful.
    if (new Set(key).size < 12) {
      throw new KeyringError(
        "a key is not random (all zero, a repeated pattern or a sample); make one with: openssl rand -hex 32",
      );
    }
    const kid = separator === -1 ? deriveKid(key) : entry.slice(0, separator).trim();
    if (!kidPattern.test(kid)) {
      throw new KeyringError("a key's name must be 1 to 32 lower-case letters, digits or hyphens");
    }
    if (keys.has(kid) || seen.has(key.toString("hex"))) throw new KeyringError(`key ${kid} occurs twice`);
    keys.set(kid, key);
    seen.add(key.toString("hex"));
  }
  const [activeKid] = keys.keys();
  if (activeKid === undefined) throw new KeyringError("the keyring is empty");
  return { activeKid, keys };
}

function deriveKid(key: Buffer): string {
  return `k${createHash("sha256").update("minimcp/v1/kid").update(key).digest("hex").slice(0, 12)}`;
}
