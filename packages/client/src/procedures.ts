import type { AppRouter } from "@minimcp/shared";
import type { TRPCClient } from "@trpc/client";

import { isRecord } from "./is-record.ts";
import type { OpenStream } from "./open-stream.ts";
import type { Call } from "./send-call.ts";
import { subscribe, type SubscriptionObserver } from "./subscribe.ts";

type Send = (call: Call) => Promise<unknown>;

interface CallOptions {
  /** Null from tRPC's integration with TanStack Query where it hands over none. */
  signal?: AbortSignal | null | undefined;
}

/** The procedures as tRPC's own client has them: `mcp.create.mutate(input, { signal })`. */
export function createProcedures(send: Send, open: OpenStream): TRPCClient<AppRouter> {
  const sendAs =
    (type: Call["type"]) =>
    (path: string, input?: unknown, options?: CallOptions): Promise<unknown> =>
      send({ type, path, input, signal: options?.signal ?? undefined });
  // Under this symbol tRPC's integrations, such as the one with TanStack Query, look for a client's plain functions.
  const query = sendAs("query");
  const untyped = {
    query: (path: string, input?: unknown, options?: CallOptions) =>
      query(path, withoutDirection(input), options),
    mutation: sendAs("mutation"),
    subscription: (path: string, input?: unknown, observer?: SubscriptionObserver) =>
      subscribe(open, { path, input }, observer),
  };
  return Object.assign(Object.create(proxyAt([], send, open)), {
    [Symbol.for("trpc_untypedClient")]: untyped,
  });
}

/** An infinite query of tRPC's integration adds which way it goes, and the server refuses fields that it does not know. */
function withoutDirection(input: unknown): unknown {
  if (!isRecord(input)) return input;
  const { direction: _, ...rest } = input;
  return rest;
}

const callTypes: ReadonlyMap<string | undefined, Call["type"]> = new Map([
  ["query", "query"],
  ["mutate", "mutation"],
] as const);

/** Answers to every name with a function, so that any path of the router can be written down and called. */
function proxyAt(path: readonly string[], send: Send, open: OpenStream): object {
  return new Proxy(() => undefined, {
    // A promise that resolves with it asks for `then`, and must not find one.
    get: (_, name) =>
      typeof name === "string" && name !== "then" ? proxyAt([...path, name], send, open) : undefined,
    apply(_, __, [input, options]: [unknown, (CallOptions & SubscriptionObserver)?]) {
      const procedure = path.slice(0, -1).join(".");
      if (path.at(-1) === "subscribe") return subscribe(open, { path: procedure, input }, options);
      const type = callTypes.get(path.at(-1));
      if (type === undefined) {
        throw new TypeError(`${path.join(".")} must end with query, mutate or subscribe`);
      }
      return send({ type, path: procedure, input, signal: options?.signal ?? undefined });
    },
  });
}
