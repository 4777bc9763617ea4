import { setTimeout as delay } from "node:timers/promises";

import { Client, escapeIdentifier } from "pg";

import { raceAbort } from "./abort.ts";
import { buildClientConfig, type DatabaseConnectionOptions, endClient } from "./connection.ts";

export type ListenerState =
  | { name: "connecting" }
  /** `afterGap`: there was a connection before, and what was sent between the two is lost. Read everything again. */
  | { name: "listening"; afterGap: boolean }
  | { name: "disconnected"; error: Error; retryInMs: number }
  | { name: "closed" };

export interface ListenerOptions extends Pick<
  DatabaseConnectionOptions,
  "url" | "applicationName" | "connectTimeoutMs" | "tls"
> {
  channels: readonly string[];
  /** Called in commit order. It must not throw. */
  onNotification: (channel: string, payload: string) => void;
  /** Called at each change. It must not throw. */
  onStateChange?: ((state: ListenerState) => void) | undefined;
  /** Pause between one answered ping and the next. Default 500. */
  pingIntervalMs?: number | undefined;
  /** A ping unanswered for this long means the connection is dead. Default 2,000. */
  pingTimeoutMs?: number | undefined;
}

export interface Listener extends AsyncDisposable {
  /**
   * Whether every notification committed until `maxAgeMs` ago is known to have been delivered: only then may cached
   * facts be trusted. That is so when the last answered ping was *sent* since then; never without a connection.
   */
  isFresh(maxAgeMs: number): boolean;
  /**
   * Resolves at the first successful LISTEN.
   *
   * @throws the signal's reason when that aborts first.
   */
  whenListening(signal?: AbortSignal): Promise<void>;
}

/** The pause between two attempts to connect; it doubles up to the longest. */
const firstRetryDelayMs = 50;
const longestRetryDelayMs = 2_000;

/**
 * Keeps one connection of its own that listens on `channels`, for as long as it is not disposed.
 *
 * PostgreSQL hands a connection its notifications before it reports that connection's next statement as done
 * (PostgresMain, before ReadyForQuery), so an answered ping proves that every commit confirmed before it was sent has
 * been announced here.
 *
 * @throws TypeError for a URL that cannot be used.
 */
export function openListener(options: ListenerOptions): Listener {
  const { pingIntervalMs = 500, pingTimeoutMs = 2_000 } = options;
  const config = buildClientConfig({ ...options, statementTimeoutMs: pingTimeoutMs });
  config.query_timeout = pingTimeoutMs;
  const listen = options.channels.map((channel) => `listen ${escapeIdentifier(channel)}`).join("; ");
  const disposal = new AbortController();
  const firstListening = Promise.withResolvers<void>();
  // Nobody may be waiting when the listener is disposed before it ever connected.
  firstListening.promise.catch(() => undefined);
  let answeredAt: number | undefined;
  let connectionsListened = 0;

  function announce(state: ListenerState): void {
    options.onStateChange?.(state);
  }

  /** Returns when the listener is disposed, throws when the connection breaks. */
  async function listenOnce(): Promise<void> {
    const client = new Client(config);
    const broken = new AbortController();
    client.on("error", (error) => broken.abort(error));
    client.on("notification", ({ channel, payload }) => options.onNotification(channel, payload ?? ""));
    try {
      await client.connect();
      let sentAt = performance.now();
      await client.query(listen);
      answeredAt = sentAt;
      announce({ name: "listening", afterGap: connectionsListened > 0 });
      connectionsListened += 1;
      firstListening.resolve();
      const wake = AbortSignal.any([disposal.signal, broken.signal]);
      while (!disposal.signal.aborted) {
        await pause(pingIntervalMs, wake);
        broken.signal.throwIfAborted();
        sentAt = performance.now();
        await client.query("select 1");
        answeredAt = sentAt;
      }
    } finally {
      answeredAt = undefined;
      await endClient(client);
    }
  }

  async function run(): Promise<void> {
    let retryInMs = firstRetryDelayMs;
    while (!disposal.signal.aborted) {
      const connectionsBefore = connectionsListened;
      announce({ name: "connecting" });
      try {
        await listenOnce();
      } catch (error) {
        if (disposal.signal.aborted) break;
        retryInMs =
          connectionsListened > connectionsBefore
            ? firstRetryDelayMs
            : Math.min(retryInMs * 2, longestRetryDelayMs);
        announce({
          name: "disconnected",
          error: error instanceof Error ? error : new Error(String(error)),
          retryInMs,
        });
        await pause(retryInMs, disposal.signal);
      }
    }
    announce({ name: "closed" });
  }

  const running = run();
  return {
    isFresh: (maxAgeMs) => answeredAt !== undefined && performance.now() - answeredAt <= maxAgeMs,
    whenListening: (signal) => raceAbort(firstListening.promise, signal),
    [Symbol.asyncDispose]: async () => {
      disposal.abort(new Error("The listener is closed."));
      firstListening.reject(disposal.signal.reason);
      await running;
    },
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
