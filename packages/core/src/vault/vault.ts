import { createHmac, hkdfSync, randomBytes, randomUUID } from "node:crypto";

import { EnvelopeError, open, seal } from "./envelope.ts";
import type { Keyring } from "./keyring.ts";

/** A data key as it lies in the database. */
export interface WrappedDataKey {
  id: string;
  userId: string;
  wrapped: Buffer;
  kekKid: string;
}

/** A data key that is open in this process. */
export interface DataKey {
  id: string;
  userId: string;
  key: Buffer;
}

/**
 * Seals and opens, in two layers: a key-encryption key of the keyring wraps one data key a user, and that seals
 * the user's secrets. Destroying a user's data key destroys their secrets wherever a copy of them lies.
 */
export interface Vault {
  readonly keyring: Keyring;
  createDataKey(userId: string): { row: WrappedDataKey; dataKey: DataKey };
  /** @throws EnvelopeError when the keyring lacks the key or the row is damaged */
  unwrapDataKey(row: WrappedDataKey): DataKey;
  sealApiKey(dataKey: DataKey, apiKeyId: string, secret: string): Buffer;
  /** @throws EnvelopeError when the value is damaged or not this key's */
  openApiKey(dataKey: DataKey, apiKeyId: string, sealed: Buffer): Buffer;
  /** Tells the same secret stored twice by one user; between users it tells nothing. */
  fingerprint(dataKey: DataKey, secret: string): Buffer;
  sealSigningKey(kid: string, privateKey: Buffer): { wrapped: Buffer; kekKid: string };
  openSigningKey(kid: string, wrapped: Buffer, kekKid: string): Buffer;
}

export function createVault(keyring: Keyring): Vault {
  function keyEncryptionKey(kid: string): Buffer {
    const key = keyring.keys.get(kid);
    if (key === undefined) throw new EnvelopeError();
    return key;
  }

  return {
    keyring,
    createDataKey(userId) {
      const dataKey = { id: randomUUID(), userId, key: randomBytes(32) };
      const kekKid = keyring.activeKid;
      const wrapped = seal(keyEncryptionKey(kekKid), dataKeyPlace({ ...dataKey, kekKid }), dataKey.key);
      return { row: { id: dataKey.id, userId, wrapped, kekKid }, dataKey };
    },
    unwrapDataKey(row) {
      const key = open(keyEncryptionKey(row.kekKid), dataKeyPlace(row), row.wrapped);
      return { id: row.id, userId: row.userId, key };
    },
    sealApiKey: (dataKey, apiKeyId, secret) =>
      seal(dataKey.key, apiKeyPlace(dataKey, apiKeyId), Buffer.from(secret, "utf8")),
    openApiKey: (dataKey, apiKeyId, sealed) => open(dataKey.key, apiKeyPlace(dataKey, apiKeyId), sealed),
    fingerprint(dataKey, secret) {
      const key = Buffer.from(hkdfSync("sha512", dataKey.key, Buffer.alloc(0), "minimcp/v1/fingerprint", 32));
      return createHmac("sha256", key).update(secret).digest();
    },
    sealSigningKey(kid, privateKey) {
      const kekKid = keyring.activeKid;
      return { wrapped: seal(keyEncryptionKey(kekKid), signingKeyPlace(kid, kekKid), privateKey), kekKid };
    },
    openSigningKey: (kid, wrapped, kekKid) =>
      open(keyEncryptionKey(kekKid), signingKeyPlace(kid, kekKid), wrapped),
  };
}

function dataKeyPlace(row: { id: string; userId: string; kekKid: string }) {
  return {
    table: "user_data_keys",
    column: "wrapped",
    rowId: row.id,
    userId: row.userId,
    keyId: row.kekKid,
  };
}

function apiKeyPlace(dataKey: DataKey, apiKeyId: string) {
  return {
    table: "api_keys",
    column: "sealed",
    rowId: apiKeyId,
    userId: dataKey.userId,
    keyId: dataKey.id,
  };
}

function signingKeyPlace(kid: string, kekKid: string) {
  return { table: "signing_keys", column: "private_wrapped", rowId: kid, userId: "", keyId: kekKid };
}
