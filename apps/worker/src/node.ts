import {
  authorizeToken,
  type ClaimedInstance,
  claimInstances,
  closeAbandoned,
  closeInstance,
  type Closing,
  leaseSeconds,
  markReady,
  markRestarting,
  type NodeIdentity,
  recordCalls,
  releaseLeases,
  renewLeases,
  renewNode,
} from "@minimcp/core";
import { type Database, DatabaseUnavailable } from "@minimcp/db";
import type { CallRecord, Verdict } from "@minimcp/gateway";
import type { Child, ChildSpec, Pool } from "@minimcp/pool";
import type { Logger } from "pino";

import { CallCounter } from "./call-counts.ts";
import { HeldInstance } from "./held-instance.ts";

/** The self-contained directory of a server, as it goes into the sandbox. */
export interface ServerBundle {
  directory: string;
  entry: string;
  args: readonly string[];
}

export interface NodeOptions {
  db: Database;
  identity: NodeIdentity;
  pool: Pool;
  /** The servers this node can run, by the name that declarations use. */
  findBundle(name: string): ServerBundle | undefined;
  /** Whether every change committed until a second ago is known here (see the LISTEN connection). */
  isFresh(): boolean;
  log: Logger;
  /** Called when another process has taken this node's name: this one must go. */
  onReplaced(): void;
}

const tickMs = 1_000;
/** How many instances a node takes at once; the next tick takes more. */
const claimLimit = 50;
/** A node that could not renew ends its children this long before others may claim them. */
const leaseMarginMs = 1_500;
/** How long a call waits for an instance that this node is about to claim. */
const claimWaitMs = 10_000;

/**
 * The instances of one node. The database decides what it holds; this keeps processes in step with that, and ends them
 * by itself when it can no longer know.
 */
export class Node implements AsyncDisposable {
  readonly #options: NodeOptions;
  readonly #held = new Map<string, HeldInstance>();
  /** Ended here, and not yet written to the database because it was away. */
  readonly #unclosed = new Map<string, { fence: number; closing: Closing }>();
  readonly #counter = new CallCounter();
  readonly #claimWaiters = new Set<() => void>();
  readonly #ending = new Set<Promise<void>>();
  #leaseValidUntil = performance.now() + leaseSeconds * 1_000 - leaseMarginMs;
  #tick: Promise<void> | undefined;
  #tickAgain = false;
  #closing = false;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #watchdog: NodeJS.Timeout;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#heartbeat = setInterval(() => this.#wake(), tickMs);
    this.#watchdog = setInterval(() => this.#guardLease(), 250);
    this.#wake();
  }

  /** Something about an instance has changed in the database. */
  notice(instanceId: string): void {
    this.#held.get(instanceId)?.liveTokens.clear();
    this.#wake();
  }

  /** Anything may have changed unnoticed. */
  noticeAll(): void {
    for (const instance of this.#held.values()) instance.liveTokens.clear();
    this.#wake();
  }

  count(record: CallRecord): void {
    this.#counter.add(record);
  }

  /** What a token is good for. */
  async authorize(
    request: { instanceId: string; tokenDigest: Buffer },
    signal: AbortSignal,
  ): Promise<Verdict> {
    const digest = request.tokenDigest.toString("base64");
    const held = this.#held.get(request.instanceId);
    const isKnown = held !== undefined && !held.hasEnded && held.liveTokens.has(digest);
    if (isKnown && this.#options.isFresh()) return { kind: "admitted", target: held.target };

    const verdict = await authorizeToken(this.#options.db, request.instanceId, request.tokenDigest).catch(
      (error: unknown) => {
        if (error instanceof DatabaseUnavailable) return null;
        throw error;
      },
    );
    if (verdict === null) {
      // The database is away. What was live is served until the lease runs out; nobody else can have claimed it yet.
      if (isKnown && !held.hasEnded) return { kind: "admitted", target: held.target };
      return { kind: "unavailable", retryAfterSeconds: 2, reason: "databaseUnavailable" };
    }
    if (verdict.kind === "unknown") return { kind: "refused", reason: "unknown" };
    if (verdict.kind === "over") return { kind: "refused", reason: verdict.reason, at: verdict.at };
    const instance = await this.#whenHeld(request.instanceId, signal);
    if (instance === undefined) return { kind: "unavailable", retryAfterSeconds: 1, reason: "notHere" };
    instance.liveTokens.add(digest);
    return { kind: "admitted", target: instance.target };
  }

  /** The instance once this node holds it; a new one is claimed within moments of its creation. */
  async #whenHeld(instanceId: string, signal: AbortSignal): Promise<HeldInstance | undefined> {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(claimWaitMs)]);
    for (;;) {
      const held = this.#held.get(instanceId);
      if (held !== undefined && !held.hasEnded) return held;
      if (patience.aborted || this.#closing) return undefined;
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#claimWaiters.delete(done);
          patience.removeEventListener("abort", done);
          resolve();
        };
        this.#claimWaiters.add(done);
        patience.addEventListener("abort", done, { once: true });
      });
    }
  }

  #wake(): void {
    if (this.#closing) return;
    if (this.#tick !== undefined) {
      this.#tickAgain = true;
      return;
    }
    this.#tick = this.#synchronize()
      .catch((error: unknown) => {
        if (error instanceof DatabaseUnavailable)
          this.#options.log.warn({ reason: error.reason }, "the database is away");
        else this.#options.log.error({ err: error }, "could not keep in step with the database");
      })
      .then(() => {
        this.#tick = undefined;
        if (!this.#tickAgain) return;
        this.#tickAgain = false;
        this.#wake();
      });
  }

  /** One round: renew what is held, end what was decided, take what is free, close what nobody holds. */
  async #synchronize(): Promise<void> {
    const { db, identity } = this.#options;
    const asked = performance.now();
    if (!(await renewNode(db, identity))) {
      this.#options.onReplaced();
      return;
    }
    const renewed = new Map((await renewLeases(db, identity)).map((lease) => [lease.instanceId, lease]));
    this.#leaseValidUntil = asked + leaseSeconds * 1_000 - leaseMarginMs;

    for (const instance of this.#held.values()) {
      const lease = renewed.get(instance.id);
      if (lease === undefined || lease.fence !== instance.fence)
        this.#drop(instance, "it is not this node's any more");
      else if (lease.stopping) this.#end(instance, { kind: "ended", reason: "revoked" });
      else instance.setDeadline(lease.remainingMs);
    }
    await this.#closePending();
    const stray = [...renewed.values()].filter(
      (lease) => !this.#held.has(lease.instanceId) && !this.#unclosed.has(lease.instanceId),
    );
    // The answer to a claim was lost, or a process was dropped while the database was away.
    await releaseLeases(
      db,
      identity,
      stray.map((lease) => lease.instanceId),
    );
    for (const claimed of await claimInstances(db, identity, claimLimit)) this.#hold(claimed);
    for (const waiter of this.#claimWaiters) waiter();
    await closeAbandoned(db);
    await this.#flushCounts();
  }

  #hold(claimed: ClaimedInstance): void {
    const { pool, log, db, identity } = this.#options;
    const { declaration, instanceId } = claimed;
    const bundle = this.#options.findBundle(declaration.bundle);
    if (bundle === undefined) {
      log.error(
        { instanceId, bundle: declaration.bundle },
        "a type names a server that this node does not have",
      );
      this.#unclosed.set(instanceId, {
        fence: claimed.fence,
        closing: { kind: "failed", failure: "The node does not have the server of this type." },
      });
      this.#tickAgain = true;
      return;
    }
    const spec: Omit<ChildSpec, "id"> = {
      bundleDirectory: bundle.directory,
      entry: bundle.entry,
      args: [
        ...bundle.args,
        ...Object.entries(claimed.config).map(
          ([key, value]) => `${declaration.config[key]?.argument}=${value}`,
        ),
      ],
    };
    const instance = new HeldInstance(claimed, pool, spec, {
      onReady: (ready, child) => this.#announceReady(ready, child),
      onRestarting: async (restarting, why) => {
        log.warn({ instanceId, why }, "an instance is started again");
        await markRestarting(db, identity, restarting.lease).catch((error: unknown) =>
          log.warn({ err: error, instanceId }, "a restart could not be recorded"),
        );
      },
      onExhausted: (exhausted, closing) => this.#end(exhausted, closing),
    });
    this.#held.set(instanceId, instance);
    log.info({ instanceId, type: declaration.id, fence: claimed.fence }, "holding an instance");
  }

  async #announceReady(instance: HeldInstance, child: Child): Promise<boolean> {
    const { db, identity, log } = this.#options;
    const { level, parts } = child.isolation;
    try {
      const isOurs = await markReady(db, identity, instance.lease, { level, parts });
      if (isOurs) log.info({ instanceId: instance.id, level }, "an instance is ready");
      // Not ours, or stopping: the next round ends it.
      else this.#wake();
      return isOurs;
    } catch (error) {
      log.warn({ err: error, instanceId: instance.id }, "readiness could not be recorded");
      // It serves: what the row says of its state is worth less than the calls that wait.
      return true;
    }
  }

  /** Ends an instance that is this node's to close. */
  #end(instance: HeldInstance, closing: Closing): void {
    if (this.#unclosed.has(instance.id)) return;
    this.#unclosed.set(instance.id, { fence: instance.fence, closing });
    this.#track(instance, async () => {
      await this.#flushCounts();
      await this.#closePending();
    });
  }

  /** Ends the process of an instance about which somebody else decides now. */
  #drop(instance: HeldInstance, why: string): void {
    this.#options.log.warn({ instanceId: instance.id, why }, "letting go of an instance");
    this.#track(instance, async () => undefined);
  }

  #track(instance: HeldInstance, after: () => Promise<void>): void {
    const ending = instance
      .end()
      .then(async () => {
        if (this.#held.get(instance.id) === instance) this.#held.delete(instance.id);
        await after();
      })
      .catch((error: unknown) => {
        if (!(error instanceof DatabaseUnavailable)) {
          this.#options.log.error(
            { err: error, instanceId: instance.id },
            "an end could not be recorded yet",
          );
        }
      })
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Writes the ends that have really happened. */
  async #closePending(): Promise<void> {
    const { db, identity, log } = this.#options;
    for (const [instanceId, { fence, closing }] of this.#unclosed) {
      if (this.#held.has(instanceId)) continue;
      await closeInstance(db, identity, { instanceId, fence }, closing);
      this.#unclosed.delete(instanceId);
      log.info({ instanceId, closing }, "an instance is over");
    }
  }

  async #flushCounts(): Promise<void> {
    const counts = this.#counter.take();
    if (counts.size === 0) return;
    try {
      await recordCalls(this.#options.db, counts);
    } catch (error) {
      this.#counter.restore(counts);
      throw error;
    }
  }

  /** Ends everything in time when the leases cannot be renewed: somebody else may hold the instances soon. */
  #guardLease(): void {
    if (performance.now() < this.#leaseValidUntil) return;
    for (const instance of this.#held.values()) {
      if (!instance.hasEnded) this.#drop(instance, "its lease could not be renewed");
    }
  }

  /** Stops every process and lets go of every lease, so that another worker can go on at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    clearInterval(this.#heartbeat);
    clearInterval(this.#watchdog);
    for (const waiter of this.#claimWaiters) waiter();
    await this.#tick;
    const { db, identity, log } = this.#options;
    const letGo = [...this.#held.values()].filter((instance) => !this.#unclosed.has(instance.id));
    await Promise.all([...letGo.map((instance) => instance.end()), ...this.#ending]);
    for (const instance of letGo) this.#held.delete(instance.id);
    try {
      await this.#flushCounts();
      await this.#closePending();
      await releaseLeases(
        db,
        identity,
        letGo.map((instance) => instance.id),
      );
    } catch (error) {
      log.warn({ err: error }, "could not hand the instances back; their leases run out by themselves");
    }
  }
}
