import {
  type ClaimedInstance,
  claimInstances,
  closeAbandoned,
  type Closing,
  type HeldLease,
  leaseSeconds,
  markReady,
  markRestarting,
  recordLogLines,
  releaseLeases,
  renewLeases,
  renewNode,
} from "@minimcp/core";
import { type Database, DatabaseUnavailable } from "@minimcp/db";
import type { CallRecord, Decision, Verdict } from "@minimcp/gateway";
import type { Child } from "@minimcp/pool";

import { Admission } from "./admission.ts";
import { CountWriter } from "./count-writer.ts";
import { type EquipmentOptions, equipInstance } from "./equip-instance.ts";
import { HeldInstance } from "./held-instance.ts";
import { LogShipper } from "./log-shipper.ts";
import { PendingEnds } from "./pending-ends.ts";

export interface NodeOptions extends EquipmentOptions {
  /** For leases, ends, keys and counts. */
  db: Database;
  /** For the checks of tokens: whoever floods those, with tokens of his own making, must not keep leases from renewal. */
  tokens: Database;
  /** How many instances it holds at most. */
  capacity: number;
  /** Whether every change committed until a second ago is known here (see the LISTEN connection). */
  isFresh(): boolean;
  /** Called when another process has taken this node's name: this one must go. */
  onReplaced(): void;
}

const tickMs = 1_000;
/** How many instances a node takes at once; the next tick takes more. */
const claimLimit = 50;
/** A node that could not renew ends its children this long before others may claim them. */
const leaseMarginMs = 1_500;
const unwrittenEnd = "an end could not be recorded yet";

/**
 * The instances of one node. The database decides what it holds; this keeps processes in step with that, and ends them
 * by itself when it can no longer know.
 */
export class Node implements AsyncDisposable {
  readonly #options: NodeOptions;
  readonly #held = new Map<string, HeldInstance>();
  /** Ready, and not yet so in the database. */
  readonly #unannounced = new Map<HeldInstance, Child>();
  readonly #admission: Admission;
  readonly #ends: PendingEnds;
  readonly #counts: CountWriter;
  readonly #logs: LogShipper;
  readonly #ending = new Set<Promise<void>>();
  #tick: Promise<void> | undefined;
  #tickAgain = false;
  #closing = false;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #watchdog: NodeJS.Timeout;

  constructor(options: NodeOptions) {
    const { db, identity, log } = options;
    this.#options = options;
    this.#counts = new CountWriter(db);
    this.#logs = new LogShipper({ store: (lines, trim) => recordLogLines(db, identity, lines, trim) });
    this.#admission = new Admission({ ...options, find: (instanceId) => this.#held.get(instanceId) });
    this.#ends = new PendingEnds({
      db,
      identity,
      log,
      isHeld: (instanceId) => this.#held.has(instanceId),
      flush: () => this.#flush(),
      onSettled: (lease, isOver) => {
        this.#logs.forget(lease);
        // Renewed at the last moment: the next round lets go of it, and takes it anew.
        if (!isOver) this.#wake();
      },
      onError: (error, instanceId) => this.#report(error, unwrittenEnd, { instanceId }),
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
    this.#counts.counter.add(record);
  }

  /** What the broker made of a call of an instance to an upstream host. */
  countEgress(instanceId: string, decision: Decision): void {
    this.#counts.counter.addDecision(instanceId, decision);
  }

  /** What a token is good for. */
  authorize(request: { instanceId: string; tokenDigest: Buffer }, signal: AbortSignal): Promise<Verdict> {
    return this.#admission.authorize(request, signal);
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
    await this.#attempt("write the counts of calls", () => this.#counts.flush());
    await this.#attempt("store what instances wrote", () => this.#logs.shipInTurn());
    await this.#ends.write();
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
    const stray = [...leases.keys()].filter((id) => !this.#held.has(id) && !this.#ends.has(id));
    await releaseLeases(db, identity, stray);
  }

  async #claim(): Promise<void> {
    const { db, identity, capacity } = this.#options;
    const limit = Math.min(claimLimit, capacity - this.#held.size);
    const leaseValidUntil = performance.now() + leaseSeconds * 1_000 - leaseMarginMs;
    const claimed = limit > 0 ? await claimInstances(db, identity, limit) : [];
    for (const instance of claimed) this.#hold(instance, leaseValidUntil);
    this.#admission.lookAgain();
  }

  /** Another process runs under this node's name, and everything that this one held is that one's to claim. */
  #giveUp(): void {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#heartbeat);
    for (const instance of this.#held.values()) this.#drop(instance, "another process has this node's name");
    this.#admission.close();
    this.#options.onReplaced();
  }

  #hold(claimed: ClaimedInstance, leaseValidUntil: number): void {
    const { pool, log, db, identity } = this.#options;
    const { instanceId, fence } = claimed;
    const instance = new HeldInstance(claimed, leaseValidUntil, {
      pool,
      equip: (equipped, resources) =>
        equipInstance(this.#options, claimed, resources, {
          onDecision: (decision) => this.countEgress(instanceId, decision),
          onDamagedKey: (message) => equipped.fail(message),
        }),
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
      onDefect: (_, error) => this.#report(error, "an instance met what nobody expected", { instanceId }),
    });
    this.#held.set(instanceId, instance);
    log.info({ instanceId, fence }, "holding an instance");
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
    if (this.#ends.add(instance.lease, closing)) this.#track(instance, () => this.#ends.write());
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
      .catch((error: unknown) => this.#report(error, unwrittenEnd, { instanceId: instance.id }))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Counts first: a closed receipt takes no more. Last words too must be there in time, but nothing stays for them. */
  async #flush(): Promise<void> {
    await this.#counts.flush();
    await this.#attempt("store what instances wrote", () => this.#logs.ship());
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
    this.#admission.close();
    // First the processes: a round that waits for the database must not keep them alive.
    const letGo = await this.#endAll();
    await this.#tick;
    letGo.push(...(await this.#endAll()));
    clearInterval(this.#watchdog);
    await this.#attempt("hand the instances back, so their leases run out by themselves", async () => {
      // Counts that cannot be written are lost with this process, and only a lease that runs out tells of that.
      await this.#flush();
      await this.#ends.write();
      await releaseLeases(this.#options.db, this.#options.identity, letGo);
    });
  }

  /** @returns the ids of those about which nothing was decided */
  async #endAll(): Promise<string[]> {
    const letGo = [...this.#held.values()].filter((instance) => !this.#ends.has(instance.id));
    await Promise.all([...letGo.map((instance) => instance.end()), ...this.#ending]);
    for (const instance of letGo) this.#held.delete(instance.id);
    return letGo.map((instance) => instance.id);
  }
}
