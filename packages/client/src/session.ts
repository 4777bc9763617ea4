import type { TokenPair } from "@minimcp/shared";

import { isReason } from "./errors.ts";
import { type StoredTokens, type TokenStore, toStoredTokens } from "./token-store.ts";

/** As whom a client calls. */
export interface Session {
  /** The bearer token for a call; undefined for nobody. */
  accessToken(): Promise<string | undefined>;
  /**
   * The token to use in place of one that the server refused; undefined when there is none.
   * @throws MiniMcpError when the exchange fails; the store is emptied if that is for good
   */
  replace(refused: string): Promise<string | undefined>;
  /** Takes over the tokens that an answer brought, or null after a sign-out. */
  keep(pair: TokenPair | null): Promise<void>;
}

/** Somebody's token, or nobody, and no way to another. */
export function fixedSession(token: string | undefined): Session {
  return {
    accessToken: () => Promise.resolve(token),
    replace: () => Promise.resolve(undefined),
    keep: () => Promise.resolve(),
  };
}

/**
 * @param exchange gets the next pair for a refresh token
 */
export function storedSession(
  store: TokenStore,
  exchange: (refreshToken: string) => Promise<TokenPair>,
): Session {
  const exclusively = <T>(work: () => Promise<T>) => (store.lock === undefined ? work() : store.lock(work));
  let replacing: Promise<StoredTokens | null> | undefined;

  // However many calls need the next pair, it is asked for once: the server takes a second use for a theft.
  async function replace(refused: string): Promise<string | undefined> {
    replacing ??= exclusively(() => exchangeUnlessDone(refused)).finally(() => {
      replacing = undefined;
    });
    return (await replacing)?.accessToken;
  }

  async function exchangeUnlessDone(refused: string): Promise<StoredTokens | null> {
    const held = await store.read();
    if (held === null || held.accessToken !== refused) return held;
    // Somebody may sign in or out, or another process refresh, while the exchange is under way: what they stored stays.
    const whatChanged = async () => {
      const latest = await store.read();
      return latest?.refreshToken === held.refreshToken ? undefined : { latest };
    };
    let next: StoredTokens;
    try {
      next = toStoredTokens(await exchange(held.refreshToken), Date.now());
    } catch (error) {
      if (!isReason(error, "auth.refreshTokenInvalid", "auth.refreshTokenReused")) throw error;
      const changed = await whatChanged();
      if (changed !== undefined && changed.latest !== null) return changed.latest;
      await store.write(null);
      throw error;
    }
    const changed = await whatChanged();
    if (changed !== undefined) return changed.latest;
    await store.write(next);
    return next;
  }

  return {
    async accessToken() {
      const held = await store.read();
      if (held === null) return undefined;
      return Date.now() < held.refreshAtMs ? held.accessToken : await replace(held.accessToken);
    },
    replace,
    keep: (pair) => exclusively(() => store.write(pair === null ? null : toStoredTokens(pair, Date.now()))),
  };
}
