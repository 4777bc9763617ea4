import type { AppRouter, InstanceView, LogLineView } from "@minimcp/shared";
import type { TRPCClient } from "@trpc/client";

import { callAs } from "./call-as.ts";
import { createOpenStream, type StreamOptions } from "./open-stream.ts";
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

/** Calls as whoever a token belongs to, or as nobody. */
export interface TokenOptions extends ConnectionOptions {
  /** A bearer token that the calls carry. Without it, and without a store, only public procedures work. */
  token?: string | undefined;
  store?: undefined;
}

/** Calls as whoever signs in. */
export interface StoreOptions extends ConnectionOptions {
  /**
   * Where the tokens of a sign-in are kept. Calls carry them and refresh them in time; `auth.signIn` fills the
   * store, `auth.signOut` empties it.
   */
  store: TokenStore;
  token?: undefined;
}

/** Who calls, and how. */
export type ClientOptions = TokenOptions | StoreOptions;

/** What a client does for an instance beside the procedures. */
export interface InstanceMethods {
  /**
   * Waits until an instance serves.
   * @throws MiniMcpError `client.instanceFailed`, `client.instanceEnded`, `client.timeout`, `client.aborted`
   */
  waitUntilReady(instance: Pick<InstanceView, "id">, options?: WaitUntilReadyOptions): Promise<InstanceView>;
  /**
   * An instance as it is, and again at each change, until it is over.
   * @throws MiniMcpError `mcp.notFound`, `stream.limitReached`, `client.aborted`, or what a connection fails with
   * @example
   * ```ts
   * import type { InstanceView, MiniMcpClient } from "@minimcp/client";
   *
   * export async function follow(client: MiniMcpClient, instance: InstanceView): Promise<void> {
   *   for await (const { state, calls } of client.watch(instance)) console.log(state, calls);
   * }
   * ```
   */
  watch(instance: Pick<InstanceView, "id">, options?: StreamOptions): AsyncIterable<InstanceView>;
  /** The list of your live instances, newest first, as it is, and again as a whole at each change. */
  watchAll(options?: StreamOptions): AsyncIterable<InstanceView[]>;
  /** What an instance's process wrote, redacted: what is kept of it, then each line as it comes, until it is over. */
  logs(instance: Pick<InstanceView, "id">, options?: LogOptions): AsyncIterable<LogLineView>;
}

/**
 * Every procedure of the server, as `client.mcp.create.mutate(input, { signal })`. They throw MiniMcpError.
 *
 * Subscriptions (`client.mcp.watch.subscribe(input, { onData, onError })`) come back by themselves after a lost
 * connection; `watch`, `watchAll` and `logs` are the same to go through with `for await`.
 */
export type MiniMcpClient = TRPCClient<AppRouter> & InstanceMethods;

export interface LogOptions extends StreamOptions {
  /** False gives what is kept and ends there. @default true */
  follow?: boolean | undefined;
  /** The `id` of a line: only what came after it is given. */
  after?: string | undefined;
}

/**
 * Connects to a MiniMCP server. Nothing is sent before the first call.
 * @example
 * ```ts
 * import { createMiniMcpClient, memoryStore } from "@minimcp/client";
 *
 * const client = createMiniMcpClient({ url: "http://127.0.0.1:5000", store: memoryStore() });
 * await client.auth.signIn.mutate({ email: "you@example.com", password: "four unrelated words together" });
 * const created = await client.mcp.create.mutate({ type: "everything", expirationMinutes: 60 });
 * await client.waitUntilReady(created.instance);
 * ```
 * @throws TypeError for a url that is not http(s)
 */
export function createMiniMcpClient(options: ClientOptions): MiniMcpClient {
  const transport = {
    url: procedureUrl(options.url),
    fetch: options.fetch ?? ((url: string, init?: RequestInit) => globalThis.fetch(url, init)),
    timeoutMs: options.timeoutMs ?? 30_000,
  };
  const send = waitOutLimits(createSendCall(transport), options.maxRetryWaitMs ?? 60_000);
  const session =
    options.store === undefined
      ? fixedSession(options.token)
      : storedSession(options.store, async (refreshToken) => {
          // Without a token of its own: that is what it gets.
          const { tokens } = await createProcedures(send, open).auth.refresh.mutate({ refreshToken });
          return tokens;
        });
  const open = createOpenStream({ ...transport, session });
  const procedures = createProcedures(callAs(session, send), open);
  async function* values<T>(path: string, input: unknown, streaming: StreamOptions = {}) {
    const { signal, onConnectionState } = streaming;
    for await (const { data } of open({ path, input, signal, onConnectionState })) yield data as T;
  }
  const ours: InstanceMethods = {
    waitUntilReady: ({ id }, waiting = {}) =>
      waitUntilReady((signal) => procedures.mcp.get.query({ id }, signal && { signal }), waiting),
    watch: ({ id }, streaming) => values("mcp.watch", { id }, streaming),
    watchAll: (streaming) => values("mcp.watchAll", undefined, streaming),
    logs: ({ id }, { follow, after, ...streaming } = {}) =>
      values("mcp.logs", { id, follow, lastEventId: after }, streaming),
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
