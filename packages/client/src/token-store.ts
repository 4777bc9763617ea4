import type { TokenPair } from "@minimcp/shared";

import { isRecord } from "./is-record.ts";

/** What a sign-in leaves behind: plain JSON. All of it is secret. */
export interface StoredTokens {
  accessToken: string;
  refreshToken: string;
  /** From this moment of the local clock on (Unix time in ms), the pair is exchanged before the next call. */
  refreshAtMs: number;
}

/**
 * Where a client keeps its tokens: memory, a file, a browser's storage. Several clients may share one.
 * @example
 * ```ts
 * import type { TokenStore } from "@minimcp/client";
 *
 * export const store: TokenStore = {
 *   read: async () => JSON.parse(localStorage.getItem("minimcp") ?? "null"),
 *   write: async (tokens) => localStorage.setItem("minimcp", JSON.stringify(tokens)),
 *   lock: (work) => navigator.locks.request("minimcp", work),
 * };
 * ```
 */
export interface TokenStore {
  read(): Promise<StoredTokens | null>;
  /** @param tokens null when there is no session any more */
  write(tokens: StoredTokens | null): Promise<void>;
  /**
   * Runs the work while no other process does. Give this when processes share the store: a refresh token counts
   * once, and two that exchange it in the same moment end the session. In a browser: `navigator.locks.request`.
   */
  lock?<T>(work: () => Promise<T>): Promise<T>;
}

/** Keeps tokens for as long as the process lives. */
export function memoryStore(tokens: StoredTokens | null = null): TokenStore {
  let kept = tokens;
  return {
    read: () => Promise.resolve(kept),
    write(next) {
      kept = next;
      return Promise.resolve();
    },
  };
}

/** How much of an access token's life is used before it is exchanged; the rest is for calls on their way. */
const usedShare = 0.9;

/**
 * @param receivedAtMs the local clock: the server's may differ, so its lifetime counts and not its date
 */
export function toStoredTokens(pair: TokenPair, receivedAtMs: number): StoredTokens {
  return {
    accessToken: pair.accessToken,
    refreshToken: pair.refreshToken,
    refreshAtMs: receivedAtMs + pair.accessTokenExpiresInSeconds * 1000 * usedShare,
  };
}

export function isTokenPair(value: unknown): value is TokenPair {
  return (
    isRecord(value) &&
    typeof value["accessToken"] === "string" &&
    typeof value["accessTokenExpiresInSeconds"] === "number" &&
    typeof value["refreshToken"] === "string"
  );
}
