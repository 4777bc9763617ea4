import type { AppRouter, InstanceView } from "@minimcp/shared";
import type { TRPCClient } from "@trpc/client";

import { callAs } from "./call-as.ts";
import { createProcedures } from "./procedures.ts";
import type { Fetch } from "./read-answer.ts";
import { createSendCall } from "./send-call.ts";
import { fixedSession, storedSession } from "./session.ts";
import type { TokenStore } from "./token-store.ts";
import { waitOutLimits } from "./wait-out-limits.ts";
import { waitUntilReady, type WaitUntilReadyOptions } from "./wait-until-ready.ts";

interface ConnectionOptions {
  /** The API's public address, `http://127.0.0.1:5000` by default of the server. */
  url: string | URL;
  /** @default the global fetch */
  fetch?: Fetch | undefined;
  /** How long one request may take, in ms. @default 30_000 */
  timeoutMs?: number | undefined;
  /**
   * How long one call may wait, in ms and in all, when the server says to come back later (`Retry-After`).
   * 0 never waits. @default 60_000
   */
  maxRetryWaitMs?: number | undefined;
}

interface TokenOptions extends ConnectionOptions {
  /** A bearer token that the calls carry. Without it, and without a store, only public procedures work. */
  token?: string | undefined;
  store?: undefined;
}

interface StoreOptions extends ConnectionOptions {
  /**
   * Where the tokens of a sign-in are kept. Calls carry them and refresh them in time; `auth.signIn` fills the
   * store, `auth.signOut` empties it.
   */
  store: TokenStore;
  token?: undefined;
}

export type ClientOptions = TokenOptions | StoreOptions;

/** Every procedure of the server, as `client.mcp.create.mutate(input, { signal })`. They throw MiniMcpError. */
export type MiniMcpClient = TRPCClient<AppRouter> & {
  /**
   * Waits until an instance serves.
   * @throws MiniMcpError `client.instanceFailed`, `client.instanceEnded`, `client.timeout`, `client.aborted`
   */
  waitUntilReady(instance: Pick<InstanceView, "id">, options?: WaitUntilReadyOptions): Promise<InstanceView>;
};

/**
 * Connects to a MiniMCP server. Nothing is sent before the first call.
 * @throws TypeError for a url that is not http(s)
 */
export function createMiniMcpClient(options: ClientOptions): MiniMcpClient {
  const send = waitOutLimits(
    createSendCall({
      url: procedureUrl(options.url),
      fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
      timeoutMs: options.timeoutMs ?? 30_000,
    }),
    options.maxRetryWaitMs ?? 60_000,
  );
  const anonymous = createProcedures(send);
  const session =
    options.store === undefined
      ? fixedSession(options.token)
      : storedSession(options.store, async (refreshToken) => {
          const { tokens } = await anonymous.auth.refresh.mutate({ refreshToken });
          return tokens;
        });
  const procedures = createProcedures(callAs(session, send));
  const ours: Pick<MiniMcpClient, "waitUntilReady"> = {
    waitUntilReady: ({ id }, waiting = {}) =>
      waitUntilReady((signal) => procedures.mcp.get.query({ id }, signal && { signal }), waiting),
  };
  return Object.assign(procedures, ours);
}

/** @throws TypeError */
function procedureUrl(address: string | URL): string {
  const url = URL.canParse(String(address)) ? new URL(address) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new TypeError(`url must be the http(s) address of a MiniMCP API, and is ${String(address)}`);
  }
  return new URL("trpc", url.href.endsWith("/") ? url : `${url.href}/`).href;
}
