import { setTimeout as delay } from "node:timers/promises";

import type { ClaimedInstance, Closing } from "@minimcp/core";
import type { Target } from "@minimcp/gateway";
import { type Child, type ChildSpec, type Pool, PoolError } from "@minimcp/pool";

/** What an instance tells the node that holds it. */
export interface InstanceEvents {
  /** It has a child, which writes, and may be ready later. */
  onSpawn(instance: HeldInstance, child: Child): void;
  /** Its child answers. @returns false when the instance is not this node's any more */
  onReady(instance: HeldInstance, child: Child): Promise<boolean>;
  onRestarting(instance: HeldInstance, why: string): Promise<void>;
  /** It cannot go on by itself. */
  onExhausted(instance: HeldInstance, closing: Closing): void;
}

const firstRetryMs = 1_000;
const maxRetryMs = 60_000;
/** A child that served for this long has recovered; what happens to it next is a new story. */
const recoveredMs = 60_000;
const maxAttempts = 5;
/** From SIGTERM to SIGKILL. Short, since at the deadline nothing may be left one second later. */
const graceMs = 500;
/** Node's timers hold 31 bits; a longer wait is set again when it fires. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * One instance in the hands of this node: its child, its deadline and its end. Ending is the abort of one signal, and
 * everything that belongs to the instance hangs on it.
 */
export class HeldInstance {
  readonly id: string;
  readonly fence: number;
  /** What gateway calls of this instance go to. */
  readonly target: Target;
  /** Until when nobody else can have claimed it, on this process's monotonic clock. */
  leaseValidUntil: number;

  readonly #pool: Pool;
  readonly #spec: Omit<ChildSpec, "id">;
  readonly #events: InstanceEvents;
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #liveTokens = new Set<string>();
  #deadline: NodeJS.Timeout | undefined;
  #socket = Promise.withResolvers<string>();

  /** @param leaseValidUntil see the property */
  constructor(
    claimed: Pick<ClaimedInstance, "instanceId" | "fence" | "remainingMs" | "renewals">,
    leaseValidUntil: number,
    pool: Pool,
    spec: Omit<ChildSpec, "id">,
    events: InstanceEvents,
  ) {
    this.id = claimed.instanceId;
    this.fence = claimed.fence;
    this.leaseValidUntil = leaseValidUntil;
    this.#pool = pool;
    this.#spec = spec;
    this.#events = events;
    this.#forgetSocket();
    this.target = {
      instanceId: this.id,
      ended: this.#ended.signal,
      socket: (signal) => abortable(this.#socket.promise, signal),
    };
    this.setDeadline(claimed);
    this.#running = this.#run();
  }

  get lease(): { instanceId: string; fence: number } {
    return { instanceId: this.id, fence: this.fence };
  }

  get hasEnded(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Whether calls may go to it: it is this node's, and not over. */
  get isServing(): boolean {
    // A process that was paused finds here what its timers have not told it yet.
    return !this.hasEnded && performance.now() < this.leaseValidUntil;
  }

  /**
   * Digests of tokens that the database has called live since anything about the instance last changed. At a change
   * there is a new set: the answer to a question asked before goes into one at which nobody looks any more.
   */
  get liveTokens(): Set<string> {
    return this.#liveTokens;
  }

  forgetTokens(): void {
    this.#liveTokens = new Set();
  }

  /** Time left, as the database counts it. A monotonic timer carries it on when the database is away. */
  setDeadline({ remainingMs, renewals }: Pick<ClaimedInstance, "remainingMs" | "renewals">): void {
    if (this.hasEnded) return;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(
      () => {
        if (remainingMs > maxTimerMs) this.setDeadline({ remainingMs: remainingMs - maxTimerMs, renewals });
        else this.#events.onExhausted(this, { kind: "expired", renewals });
      },
      Math.min(remainingMs, maxTimerMs),
    );
  }

  /** Ends streams, process and deadline. Resolves when nothing of it is left. */
  async end(): Promise<void> {
    clearTimeout(this.#deadline);
    this.forgetTokens();
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    let attempts = 0;
    let everReady = false;
    while (!this.hasEnded) {
      attempts += 1;
      const outcome = await this.#runOnce();
      if (this.hasEnded) return;
      everReady ||= outcome.servedMs > 0;
      if (outcome.servedMs > recoveredMs) attempts = 1;
      if (attempts >= maxAttempts) {
        this.#events.onExhausted(
          this,
          everReady ? { kind: "ended", reason: "crashLoop" } : { kind: "failed", failure: outcome.why },
        );
        return;
      }
      await this.#events.onRestarting(this, outcome.why);
      const pauseMs = Math.min(firstRetryMs * 2 ** (attempts - 1), maxRetryMs);
      await delay(pauseMs, undefined, { signal: this.#ended.signal }).catch(() => undefined);
    }
  }

  /** One life of the child, to its end. */
  async #runOnce(): Promise<{ servedMs: number; why: string }> {
    let child: Child;
    try {
      child = await this.#pool.start(
        {
          ...this.#spec,
          id: this.id,
          graceMs,
          onSpawn: (spawned) => this.#events.onSpawn(this, spawned),
        },
        this.#ended.signal,
      );
    } catch (error) {
      return { servedMs: 0, why: explainStart(error) };
    }
    const readyAt = performance.now();
    const stop = () => void child.stop();
    this.#ended.signal.addEventListener("abort", stop, { once: true });
    if (this.hasEnded) stop();
    try {
      if (!this.hasEnded && (await this.#events.onReady(this, child))) this.#socket.resolve(child.socketPath);
      const exit = await child.exited;
      return {
        servedMs: performance.now() - readyAt,
        why: `Its process ended by itself (${exit.signal ?? `code ${exit.code}`}).`,
      };
    } finally {
      this.#ended.signal.removeEventListener("abort", stop);
      this.#forgetSocket();
    }
  }

  /** Calls that come from now on wait for the next child. */
  #forgetSocket(): void {
    this.#socket = Promise.withResolvers<string>();
    // Nobody may be waiting when the instance ends before it was ever ready.
    this.#socket.promise.catch(() => undefined);
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Why a start failed, for the owner: no path, no system message. */
function explainStart(error: unknown): string {
  if (!(error instanceof PoolError)) return "It could not be started.";
  switch (error.reason) {
    case "noCapacity":
      return "The node has no room for another instance.";
    case "startTimeout":
      return "It did not answer in time after its start.";
    case "startFailed":
      return "Its process ended before it answered.";
    case "closed":
    case "invalidSpec":
    case "isolationUnavailable":
    case "runtimeUnusable":
      return "The node could not start it.";
  }
}
