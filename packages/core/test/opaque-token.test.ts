import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { digestToken, mintToken } from "../src/index.ts";

const zeros = (size: number): Buffer => Buffer.alloc(size);
const ones = (size: number): Buffer => Buffer.alloc(size, 0xff);

describe("a minted token", () => {
  test.each(["mcp", "mrt", "inv"] as const)(
    "of the kind %s has the published form, and only its hash is kept",
    (prefix) => {
      const { token, hash, start } = mintToken(prefix);
      expect(token).toMatch(new RegExp(`^${prefix}_[0-9A-Za-z]{49}$`));
      expect(hash.equals(createHash("sha256").update(token).digest())).toBe(true);
      expect(start).toBe(token.slice(0, 8));
      expect(digestToken(prefix, token)?.equals(hash)).toBe(true);
    },
  );

  test("has the same length for the smallest and the largest random number", () => {
    expect(mintToken("mcp", zeros).token).toMatch(/^mcp_0{43}[0-9A-Za-z]{6}$/);
    expect(mintToken("mcp", ones).token).toMatch(/^mcp_[0-9A-Za-z]{49}$/);
    expect(mintToken("mcp", zeros).token).not.toBe(mintToken("mcp", ones).token);
  });

  test("is never minted twice", () => {
    expect(new Set(Array.from({ length: 1000 }, () => mintToken("mcp").token)).size).toBe(1000);
  });
});

describe("what is no token of its kind", () => {
  const { token } = mintToken("mcp");

  test("is told without asking the database: a character mistyped, missing, added, or of another kind", () => {
    for (let index = 4; index < token.length; index += 1) {
      const other = token[index] === "A" ? "B" : "A";
      const mistyped = token.slice(0, index) + other + token.slice(index + 1);
      expect(digestToken("mcp", mistyped), `character ${index}`).toBeNull();
    }
    for (const wrong of [
      "",
      "mcp_",
      token.slice(0, -1),
      `${token}A`,
      token.replace("mcp_", "mrt_"),
      token.replace("mcp_", "MCP_"),
      `${token.slice(0, -1)}é`,
      ` ${token.slice(1)}`,
    ]) {
      expect(digestToken("mcp", wrong), wrong).toBeNull();
    }
    expect(digestToken("mrt", token)).toBeNull();
  });
});
