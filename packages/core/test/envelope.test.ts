import { createHash, randomBytes } from "node:crypto";

import { describe, expect, test } from "vitest";

import { EnvelopeError } from "../src/index.ts";
import { open, seal, type SealedPlace } from "../src/vault/envelope.ts";

// The attack: somebody who can write the database changes a sealed value, moves it to another row, column or owner, or
// swaps in one that opens under two keys. None of it opens, and none of it says why.

const key = randomBytes(32);
const place: SealedPlace = {
  table: "api_keys",
  column: "sealed",
  rowId: "6f1c3f5e-0000-4000-8000-000000000001",
  userId: "6f1c3f5e-0000-4000-8000-000000000002",
  keyId: "6f1c3f5e-0000-4000-8000-000000000003",
};
const plaintext = Buffer.from("ghp_canary0123456789abcdef");

test("what was sealed opens, of any length", () => {
  for (const length of [0, 1, 15, 16, 17, 8192]) {
    const secret = randomBytes(length);
    expect(open(key, place, seal(key, place, secret)).equals(secret)).toBe(true);
  }
});

test("the bytes are version, algorithm, key id, salt, nonce, commitment, ciphertext and tag, as documented", () => {
  const sealed = seal(key, place, plaintext);
  expect(sealed).toHaveLength(1 + 1 + 16 + 32 + 12 + 32 + plaintext.length + 16);
  expect([sealed[0], sealed[1]]).toEqual([1, 1]);
  expect(
    sealed.subarray(2, 18).equals(createHash("sha256").update(place.keyId).digest().subarray(0, 16)),
  ).toBe(true);
  expect(sealed.includes(plaintext)).toBe(false);
});

test("the same plaintext twice has nothing in common but the header", () => {
  const [first, second] = [seal(key, place, plaintext), seal(key, place, plaintext)];
  const [salt, nonce, commitment, rest] = [18, 50, 62, 94];
  for (const [from, to] of [
    [salt, nonce],
    [nonce, commitment],
    [commitment, rest],
    [rest, first.length],
  ]) {
    expect(first.subarray(from, to).equals(second.subarray(from, to))).toBe(false);
  }
});

test("a change of any single byte is refused", () => {
  const sealed = seal(key, place, plaintext);
  for (let index = 0; index < sealed.length; index += 1) {
    const damaged = Buffer.from(sealed);
    damaged[index] = (damaged[index] ?? 0) ^ 1;
    expect(() => open(key, place, damaged), `byte ${index}`).toThrow(EnvelopeError);
  }
});

test("anything cut off, added or empty is refused", () => {
  const sealed = seal(key, place, plaintext);
  for (let length = 0; length < sealed.length; length += 1) {
    expect(() => open(key, place, sealed.subarray(0, length))).toThrow(EnvelopeError);
  }
  expect(() => open(key, place, Buffer.concat([sealed, Buffer.alloc(1)]))).toThrow(EnvelopeError);
});

test.each(["table", "column", "rowId", "userId", "keyId"] as const)(
  "a value moved to another %s is refused",
  (field) => {
    const sealed = seal(key, place, plaintext);
    expect(() => open(key, { ...place, [field]: "another" }, sealed)).toThrow(EnvelopeError);
  },
);

test("two places whose names run together are two places", () => {
  const sealed = seal(key, { ...place, table: "ab", column: "c" }, plaintext);
  expect(() => open(key, { ...place, table: "a", column: "bc" }, sealed)).toThrow(EnvelopeError);
});

test("another key is refused, also one that differs in one bit", () => {
  const sealed = seal(key, place, plaintext);
  const near = Buffer.from(key);
  near[31] = (near[31] ?? 0) ^ 1;
  for (const other of [randomBytes(32), near, Buffer.alloc(32)]) {
    expect(() => open(other, place, sealed)).toThrow(EnvelopeError);
  }
});

describe("a refusal", () => {
  test("is the same sentence whatever the cause", () => {
    const sealed = seal(key, place, plaintext);
    const messages = [
      () => open(randomBytes(32), place, sealed),
      () => open(key, { ...place, userId: "x" }, sealed),
      () => open(key, place, sealed.subarray(1)),
      () => open(key, place, Buffer.alloc(0)),
    ].map((attempt) => {
      try {
        attempt();
        return "opened";
      } catch (error) {
        return `${(error as Error).name}: ${(error as Error).message}`;
      }
    });
    expect(new Set(messages)).toEqual(new Set(["EnvelopeError: a sealed value could not be opened"]));
  });
});
