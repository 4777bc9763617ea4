import { randomBytes } from "node:crypto";

import { describe, expect, test } from "vitest";

import { createVault, EnvelopeError, KeyringError, parseKeyring } from "../src/index.ts";

// The attack is a mistake: a key that is none. 64 characters that are not hexadecimal decode to fewer bytes, a sample
// key is known to everybody, a key that was mistyped seals new things that the right one will never open.

const first = randomBytes(32).toString("hex");
const second = randomBytes(32).toString("hex");

describe("a keyring", () => {
  test("of one key has a name that follows from the key", () => {
    const { activeKid, keys } = parseKeyring(first);
    expect(activeKid).toMatch(/^k[0-9a-f]{12}$/);
    expect(keys.get(activeKid)?.toString("hex")).toBe(first);
    expect(parseKeyring(first.toUpperCase()).activeKid).toBe(activeKid);
    expect(parseKeyring(second).activeKid).not.toBe(activeKid);
  });

  test("of several keys seals with the first", () => {
    const { activeKid, keys } = parseKeyring(` 2026-b:${second}, 2026-a:${first}\n`);
    expect(activeKid).toBe("2026-b");
    expect([...keys.keys()]).toEqual(["2026-b", "2026-a"]);
  });

  test.each([
    ["nothing", ""],
    ["a space", " "],
    ["63 digits", first.slice(1)],
    ["65 digits", `${first}0`],
    ["a letter that is no digit", `g${first.slice(1)}`],
    ["base64 of 64 characters", randomBytes(48).toString("base64")],
    ["half of it hexadecimal", `${first.slice(0, 32)}${"z".repeat(32)}`],
    ["all zero", "0".repeat(64)],
    ["all f", "f".repeat(64)],
    ["a pattern", "deadbeef".repeat(8)],
    ["a count", "0123456789abcdef".repeat(4)],
    ["an empty entry", `${first},`],
    ["an empty name", `:${first}`],
    ["a name in capitals", `A:${first}`],
    ["a name with a space", `a b:${first}`],
    ["a name of 33 letters", `${"a".repeat(33)}:${first}`],
    ["a name twice", `a:${first},a:${second}`],
    ["a key twice", `a:${first},b:${first}`],
    ["a good key and a bad one", `a:${first},b:${"0".repeat(64)}`],
  ])("of %s is refused, without its digits in the message", (_what, text) => {
    let message = "";
    try {
      parseKeyring(text);
    } catch (error) {
      expect(error).toBeInstanceOf(KeyringError);
      message = (error as Error).message;
    }
    expect(message).not.toBe("");
    for (const hex of [first, second, "deadbeef", "zzzz"]) expect(message).not.toContain(hex.slice(0, 8));
  });
});

describe("a vault", () => {
  const vault = createVault(parseKeyring(`a:${first}`));
  const userId = "6f1c3f5e-0000-4000-8000-000000000002";

  test("opens what another process with the same keyring sealed, also after a newer key was put first", () => {
    const { row, dataKey } = vault.createDataKey(userId);
    const sealed = vault.sealApiKey(dataKey, "row", "ghp_secret");
    const later = createVault(parseKeyring(`b:${second},a:${first}`));
    expect(later.openApiKey(later.unwrapDataKey(row), "row", sealed).toString()).toBe("ghp_secret");
    expect(later.createDataKey(userId).row.kekKid).toBe("b");
  });

  test("opens nothing with another keyring, or with the same name for another key", () => {
    const { row } = vault.createDataKey(userId);
    for (const text of [second, `b:${first}`, `a:${second}`]) {
      expect(() => createVault(parseKeyring(text)).unwrapDataKey(row)).toThrow(EnvelopeError);
    }
  });

  test("does not open a data key or a secret for another user", () => {
    const { row, dataKey } = vault.createDataKey(userId);
    const other = vault.createDataKey("6f1c3f5e-0000-4000-8000-000000000009");
    const sealed = vault.sealApiKey(dataKey, "row", "ghp_secret");
    expect(() => vault.unwrapDataKey({ ...row, userId: other.row.userId })).toThrow(EnvelopeError);
    expect(() => vault.openApiKey(other.dataKey, "row", sealed)).toThrow(EnvelopeError);
    expect(() => vault.openApiKey({ ...dataKey, userId: other.row.userId }, "row", sealed)).toThrow(
      EnvelopeError,
    );
    expect(() => vault.openApiKey(dataKey, "another row", sealed)).toThrow(EnvelopeError);
  });

  test("tells a secret stored twice by one user, and nothing between users", () => {
    const { dataKey } = vault.createDataKey(userId);
    const other = vault.createDataKey(userId).dataKey;
    expect(vault.fingerprint(dataKey, "ghp_secret").equals(vault.fingerprint(dataKey, "ghp_secret"))).toBe(
      true,
    );
    expect(vault.fingerprint(dataKey, "ghp_secret").equals(vault.fingerprint(other, "ghp_secret"))).toBe(
      false,
    );
  });
});
