import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

/**
 * Authenticated encryption of one value under one key, bound to the place where it is stored.
 *
 *     ver(1) | alg(1) | key_id(16) | salt(32) | iv(12) | commit(32) | ciphertext | tag(16)
 *
 * Each value has its own key, HKDF-SHA-512(key, salt), so one key can seal any number of values without the
 * limits of random GCM nonces (NIST SP 800-38D section 8.3). Half of the derived bytes are the commitment: AES-GCM
 * alone lets one ciphertext open under two keys (key commitment, as in the AWS Encryption SDK), and comparing
 * it first tells a wrong key from a damaged value without decrypting anything.
 */
const version = 1;
const algorithmAes256Gcm = 1;
const keyIdLength = 16;
const saltLength = 32;
const ivLength = 12;
const commitmentLength = 32;
const tagLength = 16;
const headerLength = 2 + keyIdLength + saltLength + ivLength + commitmentLength;

/** Where a sealed value lives. A value moved to another row, column or owner does not open. */
export interface SealedPlace {
  table: string;
  column: string;
  rowId: string;
  /** The owner, or an empty string for values of the installation itself. */
  userId: string;
  /** The key's name, so that a value cannot be passed off as sealed under another key. */
  keyId: string;
}

/** A sealed value did not open. Deliberately says nothing of why: the reasons are oracles. */
export class EnvelopeError extends Error {
  override readonly name = "EnvelopeError";
  constructor() {
    super("a sealed value could not be opened");
  }
}

/**
 * Seals a value.
 * @param key 32 bytes
 */
export function seal(key: Buffer, place: SealedPlace, plaintext: Buffer): Buffer {
  const salt = randomBytes(saltLength);
  const iv = randomBytes(ivLength);
  const { recordKey, commitment } = deriveRecordKey(key, salt);
  const cipher = createCipheriv("aes-256-gcm", recordKey, iv, { authTagLength: tagLength });
  cipher.setAAD(additionalData(place));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  recordKey.fill(0);
  return Buffer.concat([
    Buffer.from([version, algorithmAes256Gcm]),
    keyIdDigest(place.keyId),
    salt,
    iv,
    commitment,
    ciphertext,
    cipher.getAuthTag(),
  ]);
}

/**
 * Opens a sealed value.
 * @throws EnvelopeError when the value is damaged, was sealed under another key, or belongs to another place
 */
export function open(key: Buffer, place: SealedPlace, sealed: Buffer): Buffer {
  if (sealed.length < headerLength + tagLength) throw new EnvelopeError();
  const keyIdEnd = 2 + keyIdLength;
  const saltEnd = keyIdEnd + saltLength;
  const ivEnd = saltEnd + ivLength;
  if (sealed[0] !== version || sealed[1] !== algorithmAes256Gcm) throw new EnvelopeError();
  if (!sealed.subarray(2, keyIdEnd).equals(keyIdDigest(place.keyId))) throw new EnvelopeError();
  const { recordKey, commitment } = deriveRecordKey(key, sealed.subarray(keyIdEnd, saltEnd));
  // GCM gives it out before the tag is checked. Without a copy, so that zeros reach all of it.
  let plaintext: Buffer | undefined;
  try {
    if (!timingSafeEqual(commitment, sealed.subarray(ivEnd, headerLength))) throw new EnvelopeError();
    const decipher = createDecipheriv("aes-256-gcm", recordKey, sealed.subarray(saltEnd, ivEnd), {
      authTagLength: tagLength,
    });
    decipher.setAAD(additionalData(place));
    decipher.setAuthTag(sealed.subarray(-tagLength));
    plaintext = decipher.update(sealed.subarray(headerLength, -tagLength));
    decipher.final();
    return plaintext;
  } catch {
    plaintext?.fill(0);
    throw new EnvelopeError();
  } finally {
    recordKey.fill(0);
  }
}

function deriveRecordKey(key: Buffer, salt: Buffer): { recordKey: Buffer; commitment: Buffer } {
  const derived = Buffer.from(hkdfSync("sha512", key, salt, "minimcp/v1/record", 32 + commitmentLength));
  return { recordKey: derived.subarray(0, 32), commitment: Buffer.from(derived.subarray(32)) };
}

function keyIdDigest(keyId: string): Buffer {
  return createHash("sha256").update(keyId).digest().subarray(0, keyIdLength);
}

/** Length-prefixed, so that no two different places have the same bytes. */
function additionalData(place: SealedPlace): Buffer {
  const fields = ["minimcp/v1", place.table, place.column, place.rowId, place.userId, place.keyId];
  return Buffer.concat(
    fields.flatMap((field) => {
      const bytes = Buffer.from(field, "utf8");
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}
