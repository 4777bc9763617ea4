import { setTimeout as delay } from "node:timers/promises";

import {
  authorizeToken,
  type ClaimedInstance,
  claimInstances,
  closeAbandoned,
  closeInstance,
  type Closing,
  type HeldLease,
  leaseSeconds,
  markReady,
  markRestarting,
  type NodeIdentity,
  recordCalls,
  recordLogLines,
  releaseLeases,
  renewLeases,
  renewNode,
  type TokenVerdict,
} from "@minimcp/core";
import { type Database, DatabaseUnavailable } from "@minimcp/db";
import type { CallRecord, Decision, Verdict } from "@minimcp/gateway";
import type { Child, ChildSpec, Pool } from "@minimcp/pool";
import type { Logger } from "pino";

import { CallCounter } from "./call-counts.ts";
import { HeldInstance } from "./held-instance.ts";
import { LogShipper } from "./log-shipper.ts";

/** The self-contained directory of a server, as it goes into the sandbox. */
export interface ServerBundle {
  directory: string;
  entry: string;
  nodeArgs?: readonly string[];
  args: readonly string[];
}

export interface NodeOptions {
  /** For leases, ends and counts. */
  db: Database;
  /** For the checks of tokens: whoever floods those, with tokens of his own making, must not keep leases from renewal. */
  tokens: Database;
  identity: NodeIdentity;
  /** How many instances it holds at most. */
  capacity: number;
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
/** How long a call waits for an instance that this node is about to claim. Less than the gateway waits for a verdict. */
const claimWaitMs = 4_000;
/** How long the holder of a token that was live a moment ago waits for a database that does not answer. */
const knownTokenWaitMs = 1_000;

/**
 * The instances of one node. The database decides what it holds; this keeps processes in step with that, and ends them
 * by itself when it can no longer know.
 */
export class Node implements AsyncDisposable {
  readonly #options: NodeOptions;
  readonly #held = new Map<string, HeldInstance>();
  /** Ended here, and not yet written to the database because it was away. */
  readonly #unclosed = new Map<string, { fence: number; closing: Closing }>();
  /** Ready, and not yet so in the database. */
  readonly #unannounced = new Map<HeldInstance, Child>();
  readonly #counter = new CallCounter();
  readonly #logs: LogShipper;
  readonly #claimWaiters = new Set<() => void>();
  readonly #ending = new Set<Promise<void>>();
  #flushing: Promise<void> = Promise.resolve();
  #pass: Promise<void> = Promise.resolve();
  #nextPass: Promise<void> | undefined;
  #tick: Promise<void> | undefined;
  #tickAgain = false;
  #closing = false;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #watchdog: NodeJS.Timeout;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#logs = new LogShipper({
      store: (lines, trim) => recordLogLines(options.db, options.identity, lines, trim),
    });
    this.#heartbeat = setInterval(() => this.#wake(), tickMs);
    this.#watchdog = setInterval(() => this.#guardLeases(), 250);
    this.#wake();
  }

  /** Something about an instance has changed in the database. */
  notice(instanceId: string): void {
    this.#held.get(instanceId)?.forgetTokens();
    this.#wake();
  }

  /** Anything may have changed unnoticed. */
  noticeAll(): void {
    for (const instance of this.#held.values()) instance.forgetTokens();
    this.#wake();
  }

  count(record: CallRecord): void {
    this.#counter.add(record);
  }

  /** What the broker made of a call of an instance to an upstream host. */
  countEgress(instanceId: string, decision: Decision): void {
    this.#counter.addDecision(instanceId, decision);
  }

  /** What a token is good for. */
  async authorize(
    request: { instanceId: string; tokenDigest: Buffer },
    signal: AbortSignal,
  ): Promise<Verdict> {
    const digest = request.tokenDigest.toString("base64");
    const held = this.#serving(request.instanceId);
    const liveTokens = held?.liveTokens;
    const isKnown = liveTokens?.has(digest) === true;
    if (held !== undefined && isKnown && this.#options.isFresh()) return admitted(held);

    const verdict = await this.#ask(request, isKnown);
    if (verdict === null) {
      // The database is away. What was live is served until the lease runs out: nobody else can have claimed it yet.
      if (held?.isServing && held.liveTokens === liveTokens && isKnown) return admitted(held);
      return { kind: "unavailable", retryAfterSeconds: 2, reason: "databaseUnavailable" };
    }
    if (verdict.kind === "unknown") return { kind: "refused", reason: "unknown" };
    if (verdict.kind === "over") return { kind: "refused", reason: verdict.reason, at: verdict.at };
    const isElsewhere = verdict.nodeId !== null && verdict.nodeId !== this.#options.identity.nodeId;
    const instance = isElsewhere
      ? undefined
      : await this.#whenHeld(request.instanceId, verdict.fence, signal);
    if (instance === undefined) return { kind: "unavailable", retryAfterSeconds: 1, reason: "notHere" };
    if (instance === held) liveTokens?.add(digest);
    return admitted(instance);
  }

  /** What the database says of a token; null when it is away, or too slow for somebody who can be served without it. */
  async #ask(
    request: { instanceId: string; tokenDigest: Buffer },
    isKnown: boolean,
  ): Promise<TokenVerdict | null> {
    const asked = authorizeToken(this.#options.tokens, request.instanceId, request.tokenDigest).catch(
      (error: unknown) => {
        if (error instanceof DatabaseUnavailable) return null;
        throw error;
      },
    );
    if (!isKnown) return await asked;
    const answered = new AbortController();
    const late = delay(knownTokenWaitMs, null, { signal: answered.signal }).catch(() => null);
    return await Promise.race([asked, late]).finally(() => answered.abort());
  }

  #serving(instanceId: string): HeldInstance | undefined {
    const held = this.#held.get(instanceId);
    return held?.isServing ? held : undefined;
  }

  /**
   * The instance once this node holds it; a new one is claimed within moments of its creation.
   * @param fence the claim that the database knows of: who holds the instance under an older one lost it
   */
  async #whenHeld(instanceId: string, fence: number, signal: AbortSignal): Promise<HeldInstance | undefined> {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(claimWaitMs)]);
    for (;;) {
      const held = this.#serving(instanceId);
      if (held !== undefined && held.fence >= fence) return held;
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
      .catch((error: unknown) => this.#report(error, "could not keep in step with the database"))
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
    if (!(await renewNode(db, identity))) return this.#giveUp();
    const leases = new Map((await renewLeases(db, identity)).map((lease) => [lease.instanceId, lease]));
    for (const instance of this.#held.values()) {
      const lease = leases.get(instance.id);
      if (lease === undefined || lease.fence !== instance.fence) {
        this.#drop(instance, "it is not this node's any more");
        continue;
      }
      instance.leaseValidUntil = asked + lease.leaseMs - leaseMarginMs;
      if (lease.stopping) this.#end(instance, { kind: "ended", reason: "revoked" });
      else instance.setDeadline(lease);
    }
    // Each by itself: what fails for one instance (a row that somebody has locked) must not stop the others.
    await this.#attempt("write the counts of calls", () => this.#flushCounts());
    await this.#attempt("store what instances wrote", () => this.#logs.shipInTurn());
    await this.#closePending();
    for (const [instance, child] of this.#unannounced) await this.#announceReady(instance, child);
    await this.#attempt("let go of leases", () => this.#releaseStray(leases));
    if (!this.#closing) await this.#attempt("claim instances", () => this.#claim());
    await this.#attempt("close what nobody holds", () => closeAbandoned(db, identity));
  }

  async #attempt(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#report(error, `could not ${what}`);
    }
  }

  #report(error: unknown, message: string, more: object = {}): void {
    const { log } = this.#options;
    if (error instanceof DatabaseUnavailable) {
      log.warn({ ...more, reason: error.reason }, `${message}: the database is away`);
    } else log.error({ ...more, err: error }, message);
  }

  /** The answer to a claim was lost, or a process was dropped while the database was away. */
  async #releaseStray(leases: ReadonlyMap<string, HeldLease>): Promise<void> {
    const { db, identity } = this.#options;
    const stray = [...leases.keys()].filter((id) => !this.#held.has(id) && !this.#unclosed.has(id));
    await releaseLeases(db, identity, stray);
  }

  async #claim(): Promise<void> {
    const { db, identity, capacity } = this.#options;
    const limit = Math.min(claimLimit, capacity - this.#held.size);
    const leaseValidUntil = performance.now() + leaseSeconds * 1_000 - leaseMarginMs;
    const claimed = limit > 0 ? await claimInstances(db, identity, limit) : [];
    for (const instance of claimed) this.#hold(instance, leaseValidUntil);
    for (const waiter of this.#claimWaiters) waiter();
  }

  /** Another process runs under this node's name, and everything that this one held is that one's to claim. */
  #giveUp(): void {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#heartbeat);
    for (const instance of this.#held.values()) this.#drop(instance, "another process has this node's name");
    for (const waiter of this.#claimWaiters) waiter();
    this.#options.onReplaced();
  }

  #hold(claimed: ClaimedInstance, leaseValidUntil: number): void {
    const { pool, log, db, identity } = this.#options;
    const { instanceId, fence } = claimed;
    const spec = this.#specOf(claimed);
    if ("failure" in spec) {
      log.error({ instanceId, failure: spec.failure }, "an instance cannot run here");
      this.#unclosed.set(instanceId, { fence, closing: { kind: "failed", failure: spec.failure } });
      this.#tickAgain = true;
      return;
    }
    const instance = new HeldInstance(claimed, leaseValidUntil, pool, spec, {
      onSpawn: (spawned, child) => this.#logs.add(spawned.lease, child.logs),
      onReady: (ready, child) => this.#announceReady(ready, child),
      onRestarting: async (restarting, why) => {
        this.#unannounced.delete(restarting);
        log.warn({ instanceId, why }, "an instance is started again");
        await markRestarting(db, identity, restarting.lease).catch((error: unknown) =>
          log.warn({ err: error, instanceId }, "a restart could not be recorded"),
        );
      },
      onExhausted: (exhausted, closing) => this.#end(exhausted, closing),
    });
    this.#held.set(instanceId, instance);
    log.info({ instanceId, fence }, "holding an instance");
  }

  /** How an instance is started, or why it cannot be, in words for its owner. */
  #specOf({ declaration, config }: ClaimedInstance): Omit<ChildSpec, "id"> | { failure: string } {
    if (declaration === null) {
      return {
        failure: "The catalogue's entry for this type cannot be read. An administrator can correct it.",
      };
    }
    const bundle = this.#findBundle(declaration.bundle);
    if (bundle === undefined) return { failure: "The node does not have the server of this type." };
    const chosen = Object.entries(declaration.config).flatMap(([key, { argument }]) =>
      Object.hasOwn(config, key) ? [`${argument}=${config[key]}`] : [],
    );
    return {
      bundleDirectory: bundle.directory,
      entry: bundle.entry,
      nodeArgs: bundle.nodeArgs ?? [],
      args: [...bundle.args, ...chosen],
      env: declaration.env,
    };
  }

  #findBundle(name: string): ServerBundle | undefined {
    try {
      return this.#options.findBundle(name);
    } catch (error) {
      this.#options.log.error({ err: error, bundle: name }, "a server cannot be found");
      return undefined;
    }
  }

  async #announceReady(instance: HeldInstance, child: Child): Promise<boolean> {
    const { db, identity, log } = this.#options;
    const { level, parts } = child.isolation;
    this.#unannounced.delete(instance);
    try {
      const isOurs = await markReady(db, identity, instance.lease, { level, parts });
      if (isOurs) log.info({ instanceId: instance.id, level }, "an instance is ready");
      // Not ours, or stopping: the next round ends it.
      else this.#wake();
      return isOurs;
    } catch (error) {
      this.#report(error, "readiness could not be recorded yet", { instanceId: instance.id });
      if (!instance.hasEnded) this.#unannounced.set(instance, child);
      // It serves: what the row says of its state is worth less than the calls that wait.
      return true;
    }
  }

  /** Ends an instance that is this node's to close. */
  #end(instance: HeldInstance, closing: Closing): void {
    if (this.#unclosed.has(instance.id)) return;
    this.#unclosed.set(instance.id, { fence: instance.fence, closing });
    this.#track(instance, () => this.#closePending());
  }

  /** Ends the process of an instance about which somebody else decides now. */
  #drop(instance: HeldInstance, why: string): void {
    if (instance.hasEnded) return;
    this.#options.log.warn({ instanceId: instance.id, why }, "letting go of an instance");
    this.#track(instance, async () => this.#logs.forget(instance.lease));
  }

  #track(instance: HeldInstance, after: () => Promise<void>): void {
    const ending = instance
      .end()
      .then(async () => {
        this.#unannounced.delete(instance);
        if (this.#held.get(instance.id) === instance) this.#held.delete(instance.id);
        await after();
      })
      .catch((error: unknown) =>
        this.#report(error, "an end could not be recorded yet", { instanceId: instance.id }),
      )
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Whoever comes while a pass is under way shares the next one, which sees what that one has missed. */
  #closePending(): Promise<void> {
    this.#nextPass ??= this.#pass.then(() => {
      this.#nextPass = undefined;
      return this.#writeEnds();
    });
    this.#pass = this.#nextPass;
    return this.#pass;
  }

  /** Writes the ends that have really happened. One that cannot be written now is tried again in the next round. */
  async #writeEnds(): Promise<void> {
    const { db, identity, log } = this.#options;
    for (const [instanceId, { fence, closing }] of this.#unclosed) {
      if (this.#held.has(instanceId)) continue;
      try {
        // A closed receipt takes no more counts.
        await this.#flushCounts();
        // Its last words too must be there before it is over, but it does not stay for them.
        await this.#attempt("store what instances wrote", () => this.#logs.ship());
        const isOver = await closeInstance(db, identity, { instanceId, fence }, closing);
        this.#logs.forget({ instanceId, fence });
        this.#unclosed.delete(instanceId);
        if (isOver) log.info({ instanceId, closing }, "an instance is over");
        // Renewed at the last moment: the next round lets go of it, and takes it anew.
        else this.#wake();
      } catch (error) {
        this.#report(error, "an end could not be recorded yet", { instanceId });
        // Only a lock is the trouble of one row; to wait for a database that is away once for each takes for ever.
        if (error instanceof DatabaseUnavailable && error.reason !== "timeout") return;
      }
    }
  }

  /** One flush at a time: who finds the counter empty must not go on while its counts are still on their way. */
  #flushCounts(): Promise<void> {
    const flush = this.#flushing.then(() => this.#writeCounts());
    this.#flushing = flush.catch(() => undefined);
    return flush;
  }

  async #writeCounts(): Promise<void> {
    const counts = this.#counter.take();
    if (counts.size === 0) return;
    try {
      await recordCalls(this.#options.db, counts);
    } catch (error) {
      const isUncertain = error instanceof DatabaseUnavailable && !error.retryable;
      if (isUncertain) this.#counter.lose(counts);
      else this.#counter.restore(counts);
      throw error;
    }
  }

  /** Ends in time what could not be renewed: somebody else may hold it soon. */
  #guardLeases(): void {
    for (const instance of this.#held.values()) {
      if (!instance.isServing) this.#drop(instance, "its lease could not be renewed");
    }
  }

  /** Stops every process and lets go of every lease, so that another worker can go on at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    clearInterval(this.#heartbeat);
    for (const waiter of this.#claimWaiters) waiter();
    // First the processes: a round that waits for the database must not keep them alive.
    const letGo = await this.#endAll();
    await this.#tick;
    letGo.push(...(await this.#endAll()));
    clearInterval(this.#watchdog);
    await this.#attempt("hand the instances back, so their leases run out by themselves", async () => {
      // Counts that cannot be written are lost with this process, and only a lease that runs out tells of that.
      await this.#flushCounts();
      await this.#attempt("store what instances wrote", () => this.#logs.ship());
      await this.#closePending();
      await releaseLeases(this.#options.db, this.#options.identity, letGo);
    });
  }

  /** @returns the ids of those about which nothing was decided */
  async #endAll(): Promise<string[]> {
    const letGo = [...this.#held.values()].filter((instance) => !this.#unclosed.has(instance.id));
    await Promise.all([...letGo.map((instance) => instance.end()), ...this.#ending]);
    for (const instance of letGo) this.#held.delete(instance.id);
    return letGo.map((instance) => instance.id);
  }
}

function admitted(instance: HeldInstance): Verdict {
  return { kind: "admitted", target: instance.target };
}
