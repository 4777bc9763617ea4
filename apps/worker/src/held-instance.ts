import { setTimeout as delay } from "node:timers/promises";

import type { ClaimedInstance, Closing } from "@minimcp/core";
import type { Target } from "@minimcp/gateway";
import {
  type Child,
  type ChildLimits,
  type ChildSpec,
  type Limit,
  type Pool,
  PoolError,
} from "@minimcp/pool";

import { NotRunnable } from "./not-runnable.ts";

/** What an instance needs of the node that holds it, and tells it. */
export interface InstanceOwner {
  pool: Pool;
  /**
   * Gets together what its children run with. It happens once a claim.
   * @param resources what belongs to the claim, such as a broker with its key: they end first when the instance ends
   * @throws NotRunnable
   */
  equip(instance: HeldInstance, resources: AsyncDisposableStack): Promise<Omit<ChildSpec, "id">>;
  /** It has a child, which writes, and may be ready later. */
  onSpawn(instance: HeldInstance, child: Child): void;
  /** Its child answers. @returns false when the instance is not this node's any more */
  onReady(instance: HeldInstance, child: Child): Promise<boolean>;
  onRestarting(instance: HeldInstance, why: string): Promise<void>;
  /** It cannot go on by itself. */
  onExhausted(instance: HeldInstance, closing: Closing): void;
  /** Something that nobody expected went wrong, at its start or at its end. */
  onDefect(instance: HeldInstance, error: unknown): void;
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
/** Two clocks that are both right drift apart by less from one look at the deadline to the next. */
const driftMs = 1_000;

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

  readonly #owner: InstanceOwner;
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #liveTokens = new Set<string>();
  /** When it comes, on this process's monotonic clock, and which of its deadlines that is. */
  #deadline: { dueAt: number; renewals: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #socket = Promise.withResolvers<string>();

  /** @param leaseValidUntil see the property */
  constructor(
    claimed: Pick<ClaimedInstance, "instanceId" | "fence" | "remainingMs" | "renewals">,
    leaseValidUntil: number,
    owner: InstanceOwner,
  ) {
    this.id = claimed.instanceId;
    this.fence = claimed.fence;
    this.leaseValidUntil = leaseValidUntil;
    this.#owner = owner;
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

  /**
   * Time left, as the database counts it. A monotonic timer carries it on when the database is away, and when its clock
   * is set back: the same deadline comes sooner than it was thought to, but not later.
   */
  setDeadline({ remainingMs, renewals }: Pick<ClaimedInstance, "remainingMs" | "renewals">): void {
    if (this.hasEnded) return;
    const dueAt = performance.now() + remainingMs;
    const isSetBack = renewals === this.#deadline?.renewals && dueAt > this.#deadline.dueAt + driftMs;
    if (!isSetBack) this.#deadline = { dueAt, renewals };
    this.#awaitDeadline();
  }

  #awaitDeadline(): void {
    if (this.#deadline === undefined) return;
    const { dueAt, renewals } = this.#deadline;
    const leftMs = dueAt - performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        if (leftMs > maxTimerMs) this.#awaitDeadline();
        else this.#owner.onExhausted(this, { kind: "expired", renewals });
      },
      Math.min(Math.max(leftMs, 0), maxTimerMs),
    );
  }

  /** It cannot go on. @param failure why, in words for its owner */
  fail(failure: string): void {
    if (!this.hasEnded) this.#owner.onExhausted(this, { kind: "failed", failure });
  }

  /** Ends rights, streams, process and deadline. Resolves when nothing of it is left. */
  async end(): Promise<void> {
    clearTimeout(this.#timer);
    this.forgetTokens();
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const resources = new AsyncDisposableStack();
    let released: Promise<void> | undefined;
    const release = () =>
      (released ??= resources.disposeAsync().catch((error: unknown) => this.#owner.onDefect(this, error)));
    try {
      const spec = await this.#owner.equip(this, resources);
      // What it may do ends at once; its processes have a moment to go.
      this.#ended.signal.addEventListener("abort", () => void release(), { once: true });
      await this.#keepRunning(spec);
    } catch (error) {
      if (!(error instanceof NotRunnable)) this.#owner.onDefect(this, error);
      this.fail(error instanceof NotRunnable ? error.message : "The node could not start it.");
    } finally {
      await release();
    }
  }

  async #keepRunning(spec: Omit<ChildSpec, "id">): Promise<void> {
    let attempts = 0;
    let everReady = false;
    while (!this.hasEnded) {
      attempts += 1;
      const outcome = await this.#runOnce(spec);
      if (this.hasEnded) return;
      // It would only meet the limit again, and take from others what it takes on its way there.
      if (outcome.limit !== undefined) {
        const { limit, explanation } = outcome.limit;
        if (limit === "tmp") return this.fail(explanation);
        this.#owner.onExhausted(this, { kind: "ended", reason: limit, explanation });
        return;
      }
      everReady ||= outcome.servedMs > 0;
      if (outcome.servedMs > recoveredMs) attempts = 1;
      if (attempts >= maxAttempts) {
        if (!everReady) return this.fail(outcome.why);
        const explanation = `${outcome.why} It was started ${attempts} times. Its log may tell why; create a new one when that is mended.`;
        this.#owner.onExhausted(this, { kind: "ended", reason: "crashLoop", explanation });
        return;
      }
      await this.#owner.onRestarting(this, outcome.why);
      const pauseMs = Math.min(firstRetryMs * 2 ** (attempts - 1), maxRetryMs);
      await delay(pauseMs, undefined, { signal: this.#ended.signal }).catch(() => undefined);
    }
  }

  /** One life of the child, to its end. */
  async #runOnce(spec: Omit<ChildSpec, "id">): Promise<Outcome> {
    let child: Child;
    try {
      child = await this.#owner.pool.start(
        {
          ...spec,
          id: this.id,
          graceMs,
          onSpawn: (spawned) => this.#owner.onSpawn(this, spawned),
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
      if (!this.hasEnded && (await this.#owner.onReady(this, child))) this.#socket.resolve(child.socketPath);
      const exit = await child.exited;
      return {
        servedMs: performance.now() - readyAt,
        why: `Its process ended by itself (${exit.signal ?? `code ${exit.code}`}).`,
        ...(exit.limit && {
          limit: { limit: exit.limit, explanation: limitExplanations[exit.limit](child.limits) },
        }),
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

/** How a life of a child ended. */
interface Outcome {
  servedMs: number;
  why: string;
  limit?: { limit: Limit; explanation: string };
}

/** For the owner: what was too much, and what to do. */
const limitExplanations: Record<Limit, (limits: ChildLimits) => string> = {
  memory: ({ memoryBytes }) => `It took more than its ${inMegabytes(memoryBytes)} of memory. ${askForLess}`,
  cpu: ({ cpuCores, cpuWindowMs }) =>
    // One window until it was held down, and one in which it wanted more all the same.
    `It wanted more than its ${Math.round(cpuCores * 100)} % of a processor for ${(2 * cpuWindowMs) / 1_000} seconds. ${askForLess}`,
  tmp: ({ tmpBytes }) => `It kept more than its ${inMegabytes(tmpBytes)} in temporary files. ${askForLess}`,
};
const askForLess = "Create a new one, and ask it for less at a time.";

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MB`;
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
