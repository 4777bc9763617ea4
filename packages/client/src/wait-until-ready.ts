import type { InstanceState, InstanceView } from "@minimcp/shared";

import { pause } from "./abort.ts";
import { MiniMcpError } from "./errors.ts";

export interface WaitUntilReadyOptions {
  /** Stops the waiting; the instance goes on. */
  signal?: AbortSignal | undefined;
  /** How long to wait at most, in ms. @default 60_000 */
  timeoutMs?: number | undefined;
  /** Hears of every state that the instance is seen in, the first one included. */
  onState?: ((state: InstanceState, instance: InstanceView) => void) | undefined;
}

const firstPauseMs = 50;
const longestPauseMs = 1_000;
/** Each pause is about a fifth of what has been waited so far, and so is the time by which readiness is seen late. */
const growth = 1.2;

/**
 * Looks at an instance until it serves.
 * @throws MiniMcpError `client.instanceFailed`, `client.instanceEnded`, `client.timeout`, or what a look fails with
 */
export async function waitUntilReady(
  look: (signal: AbortSignal | undefined) => Promise<InstanceView>,
  { signal, timeoutMs = 60_000, onState }: WaitUntilReadyOptions,
): Promise<InstanceView> {
  const deadline = performance.now() + timeoutMs;
  let seen: InstanceState | undefined;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * growth, longestPauseMs)) {
    const instance = await look(signal);
    if (instance.state !== seen) {
      seen = instance.state;
      onState?.(seen, instance);
    }
    switch (instance.state) {
      case "ready":
      case "idle":
        return instance;
      case "failed":
        throw new MiniMcpError(
          "client.instanceFailed",
          `The instance could not start: ${instance.failure ?? "the server gave no reason"}`,
        );
      case "stopping":
      case "ended":
        throw new MiniMcpError(
          "client.instanceEnded",
          `The instance is over (${instance.endReason ?? "no reason given"}). Create a new one.`,
        );
      case "requested":
      case "starting":
    }
    if (performance.now() + pauseMs > deadline) {
      throw new MiniMcpError(
        "client.timeout",
        `The instance is still ${instance.state} after ${timeoutMs} ms. It goes on starting: wait again, or revoke it.`,
      );
    }
    await pause(pauseMs, signal);
  }
}
