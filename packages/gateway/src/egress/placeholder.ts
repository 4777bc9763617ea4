import { randomInt } from "node:crypto";

import type { PlaceholderForm } from "./options.ts";

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/**
 * A random value of the form that a server expects of its key. It is worth nothing outside its own broker.
 *
 * @throws TypeError when the form leaves too little room for chance
 */
export function createPlaceholder({ prefix, length }: PlaceholderForm): string {
  const randomLength = length - prefix.length;
  // 20 characters of 62 are 119 bits: nobody meets one by accident, in a header or in an answer.
  if (randomLength < 20)
    throw new TypeError(`a placeholder of ${length} characters leaves fewer than 20 to chance`);
  return prefix + Array.from({ length: randomLength }, () => base62[randomInt(base62.length)]).join("");
}

/**
 * Puts the secret where a child's credential is exactly the placeholder: alone, after `Bearer` or `token`, or as the
 * user name or password of Basic (RFC 7617), which is how git-like clients send a token.
 *
 * @returns null for any other value
 */
export function swapPlaceholder(value: string, placeholder: string, secret: string): string | null {
  if (value === placeholder) return secret;
  const [, scheme = "", credentials = ""] = /^(\w+) +(\S+)$/.exec(value) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
    case "token":
      return credentials === placeholder ? `${scheme} ${secret}` : null;
    case "basic": {
      const decoded = Buffer.from(credentials, "base64").toString();
      const colon = decoded.indexOf(":");
      if (colon < 0) return null;
      const parts = [decoded.slice(0, colon), decoded.slice(colon + 1)];
      if (!parts.includes(placeholder)) return null;
      const swapped = parts.map((part) => (part === placeholder ? secret : part)).join(":");
      return `${scheme} ${Buffer.from(swapped).toString("base64")}`;
    }
    default:
      return null;
  }
}
