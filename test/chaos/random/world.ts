import { setTimeout as delay } from "node:timers/promises";

import { type Deployment, makeDeployment, type RunningProcess } from "../../support/deployment.ts";
import { canMoveClocks, makeMovableClock, type MovableClock } from "../../support/movable-clock.ts";
import { KillableDatabase } from "../support/killable-database.ts";
import type { Victim } from "./plan.ts";

export type Part = Exclude<Victim, "child">;
const workers = ["first", "second"] as const;
const processes = [...workers, "api"] as const;
type ProcessName = (typeof processes)[number];

/** Of this suite's own: whatever else runs on the host takes none of them away, and ends nothing under them. */
const uids = "23000-23099";
const reviveTimeoutMs = 60_000;
const pauseBetweenStartsMs = 250;

/** The product as it is deployed: a database, an API and two workers, each of which can be killed and comes back. */
export class World implements AsyncDisposable {
  readonly database: KillableDatabase;
  readonly deployment: Deployment;
  readonly #resources: AsyncDisposableStack;
  /** By which each worker goes, where clocks can be moved. */
  readonly #clocks: ReadonlyMap<Part, MovableClock>;
  readonly #running = new Map<ProcessName, RunningProcess>();
  /** By what stands still: the pids that must go on. */
  readonly #paused = new Map<Part, readonly number[]>();
  /** One repair of a part at a time. */
  readonly #repairs = new Map<Part, Promise<void>>();
  /** What the processes that are gone wrote. */
  readonly #lastWords: string[] = [];
  readonly #unasked: string[] = [];
  #databaseBackAt = -Infinity;

  private constructor(
    database: KillableDatabase,
    deployment: Deployment,
    clocks: ReadonlyMap<Part, MovableClock>,
    resources: AsyncDisposableStack,
  ) {
    this.database = database;
    this.deployment = deployment;
    this.#clocks = clocks;
    this.#resources = resources;
  }

  static async open(): Promise<World> {
    await using resources = new AsyncDisposableStack();
    const database = resources.use(await KillableDatabase.start());
    const clocks = new Map<Part, MovableClock>();
    if (canMoveClocks()) {
      for (const name of workers) clocks.set(name, resources.use(await makeMovableClock()));
    }
    const deployment = resources.use(await makeDeployment(database.urls));
    const world = new World(database, deployment, clocks, resources.move());
    await world.repairAll();
    return world;
  }

  /** Whether it is away, or came back so lately that not everybody has heard what it has to say. */
  wasDatabaseAwaySince(at: number): boolean {
    return this.database.isDead || this.#paused.has("database") || this.#databaseBackAt > at;
  }

  get apiUrl(): string | undefined {
    return this.#running.get("api")?.url;
  }

  /** The workers that run, or stand still. */
  get workers(): readonly RunningProcess[] {
    return [...this.#running].flatMap(([name, process]) => (name === "api" ? [] : [process]));
  }

  async kill(part: Part): Promise<void> {
    if (part === "database") {
      if (this.database.isDead) return;
      await this.database.kill();
      // What stands still would never notice that its server is gone.
      signalAll(this.#paused.get(part) ?? [], "SIGCONT");
      this.#paused.delete(part);
      return;
    }
    const victim = this.#running.get(part);
    if (victim === undefined) return;
    this.#running.delete(part);
    this.#paused.delete(part);
    victim.kill("SIGKILL");
    await victim.exited;
  }

  /** Stands still until it is repaired. */
  async pause(part: Part): Promise<void> {
    if (this.#paused.has(part)) return;
    const pids = await this.#processesOf(part);
    this.#paused.set(part, pids);
    signalAll(pids, "SIGSTOP");
  }

  /** Goes by another time until it is repaired. */
  async jump(part: Part, seconds: number): Promise<void> {
    await this.#clocks.get(part)?.set(seconds);
  }

  /** Lets it go on, or starts it again; a worker or an API once there is a database. */
  repair(part: Part): Promise<void> {
    const underWay = this.#repairs.get(part) ?? Promise.resolve();
    const repair = underWay.then(() => this.#repair(part));
    this.#repairs.set(
      part,
      repair.catch(() => {}),
    );
    return repair;
  }

  /** Afterwards everything runs. */
  async repairAll(): Promise<void> {
    await this.repair("database");
    await Promise.all(processes.map((name) => this.repair(name)));
  }

  /** What nobody expected: ends of processes that nobody caused, and what any of them logged as an error. */
  complaints(): string[] {
    const outputs = [...this.#lastWords, ...[...this.#running.values()].map((process) => process.output())];
    return [...this.#unasked, ...outputs.flatMap(findErrors)];
  }

  async #repair(part: Part): Promise<void> {
    await this.jump(part, 0);
    signalAll(this.#paused.get(part) ?? [], "SIGCONT");
    const wasPaused = this.#paused.delete(part);
    if (part === "database") {
      if (this.database.isDead) await this.database.restart();
      else if (!wasPaused) return;
      this.#databaseBackAt = performance.now();
      return;
    }
    const giveUpAt = performance.now() + reviveTimeoutMs;
    while (!this.#running.has(part)) {
      try {
        await this.#start(part);
      } catch (error) {
        // The database may be killed a second time meanwhile; its own repair brings it back.
        if (performance.now() > giveUpAt) throw error;
        await delay(pauseBetweenStartsMs);
      }
    }
  }

  async #start(name: ProcessName): Promise<void> {
    const { deployment } = this;
    const process =
      name === "api"
        ? await deployment.startApi()
        : await deployment.startWorker(name, {
            INSTANCE_UIDS: uids,
            ...this.#clocks.get(name)?.environment,
          });
    this.#running.set(name, process);
    void process.exited.then((how) => {
      this.#lastWords.push(process.output());
      if (this.#running.get(name) !== process) return;
      this.#running.delete(name);
      this.#unasked.push(`${name} ended by itself with ${how}`);
    });
  }

  async #processesOf(part: Part): Promise<number[]> {
    if (part !== "database") {
      const victim = this.#running.get(part);
      return victim === undefined ? [] : [victim.pid];
    }
    return this.database.isDead ? [] : await this.database.processes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pids of this.#paused.values()) signalAll(pids, "SIGCONT");
    await Promise.all(this.#repairs.values());
    this.#running.clear();
    await this.#resources.disposeAsync();
  }
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended meanwhile, as the server processes of a database do with their connections.
    }
  }
}

const errorLevel = 50;

/**
 * Lines of a log at the level of an error, and what is no log line at all: the end of a process that nobody caught. That
 * the database was away is the suite's own doing.
 */
function findErrors(output: string): string[] {
  return output.split("\n").filter((line) => {
    if (line === "") return false;
    if (!line.startsWith("{")) return true;
    const { level, err }: { level?: number; err?: { name?: string } } = JSON.parse(line);
    return level !== undefined && level >= errorLevel && err?.name !== "DatabaseUnavailable";
  });
}
