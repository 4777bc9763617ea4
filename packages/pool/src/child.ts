import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

import type { ChildCgroup } from "./cgroup.ts";
import type { Isolation } from "./isolation.ts";
import type { ChildLimits, Limit } from "./limits.ts";
import { BoundedLogRing, type LogRing } from "./log-ring.ts";
import { PoolError } from "./pool-error.ts";
import { childrenOf, signalProcess, startTimeOf, waitUntil } from "./processes.ts";
import { waitForHealth } from "./readiness.ts";

/**
 * How a child ended. `stopped` was asked for; `exited` is code 0 unasked; everything else is `crashed`, an end at a limit
 * too.
 */
export interface Exit {
  /** Inside namespaces a death by signal n is reported as code 128 + n. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly cause: "stopped" | "exited" | "crashed";
  /** The limit that it met: the pool ended it there, or it broke off by itself for want of memory. */
  readonly limit?: Limit;
}

/** `since` is milliseconds since the epoch. */
export type ChildState =
  | { readonly kind: "starting"; readonly since: number }
  | { readonly kind: "ready"; readonly since: number }
  | { readonly kind: "stopping"; readonly since: number }
  | { readonly kind: "dead"; readonly since: number; readonly exit: Exit };

export interface Child {
  readonly id: string;
  readonly state: ChildState;
  /** HTTP is spoken on this Unix socket. */
  readonly socketPath: string;
  /** Host pid of the outermost process of the child. */
  readonly pid: number;
  /** The uid that is the child's alone, where the level gives one. */
  readonly uid: number | undefined;
  readonly isolation: Isolation;
  readonly limits: ChildLimits;
  /** What the child wrote to standard output and standard error. */
  readonly logs: LogRing;
  /**
   * Ends the child: SIGTERM, then SIGKILL for everything it ever started once the grace is over. Calling again changes
   * nothing.
   */
  stop(): Promise<Exit>;
  /** Settles when nothing of the child is left: no process, no socket, no uid. Never rejects. */
  readonly exited: Promise<Exit>;
}

export interface ChildParts {
  readonly id: string;
  readonly process: ChildProcess;
  readonly socketPath: string;
  readonly isolation: Isolation;
  readonly uid: number | undefined;
  readonly cgroup: ChildCgroup | undefined;
  readonly temporary: string | undefined;
  readonly graceMs: number;
  readonly limits: ChildLimits;
  readonly now: () => number;
  /** Released, uid and socket among them, once the process is gone. */
  readonly resources: AsyncDisposableStack;
  /** Told what went wrong while clearing up; there is nobody else who could be. */
  readonly onCleanupError: (error: unknown) => void;
}

// After the last process is dead its pipes close at once, unless one got away at a level that cannot prevent it.
const outputTimeoutMs = 1_000;
const namespaceEndTimeoutMs = 2_000;

/** A running child. It owns its process tree, its output and the resources it was given. */
export class SandboxedChild implements Child {
  readonly id: string;
  readonly socketPath: string;
  readonly pid: number;
  readonly uid: number | undefined;
  readonly isolation: Isolation;
  readonly limits: ChildLimits;
  readonly cgroup: ChildCgroup | undefined;
  /** Its temporary directory on the host's disk; undefined where it has a /tmp of its own, or none. */
  readonly temporary: string | undefined;
  readonly logs: LogRing;
  readonly exited: Promise<Exit>;
  readonly #parts: ChildParts;
  #state: ChildState;
  #limit: Limit | undefined;
  #namespaceInit: { pid: number; startTime: string } | undefined;

  constructor(parts: ChildParts) {
    const { process: child, isolation, now } = parts;
    if (child.pid === undefined || !child.stdout || !child.stderr)
      throw new Error("the child was not spawned with pipes");
    this.#parts = parts;
    this.id = parts.id;
    this.socketPath = parts.socketPath;
    this.pid = child.pid;
    this.uid = parts.uid;
    this.isolation = isolation;
    this.limits = parts.limits;
    this.cgroup = parts.cgroup;
    this.temporary = parts.temporary;
    this.#state = { kind: "starting", since: now() };
    const logs = new BoundedLogRing(parts.limits.logBytes, now);
    logs.drain(child.stdout, "stdout");
    logs.drain(child.stderr, "stderr");
    this.logs = logs;
    const closed = once(child, "close");
    this.exited = once(child, "exit").then(async ([code, signal]) => this.#bury(code, signal, closed));
  }

  get state(): ChildState {
    return this.#state;
  }

  /**
   * Waits for the first healthy answer.
   *
   * @throws PoolError `startTimeout` or `startFailed`, with the end of the child's output.
   * @throws the signal's reason when it aborts.
   */
  async waitUntilReady(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const died = new AbortController();
    void this.exited.then(() => died.abort());
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      await waitForHealth(
        this.socketPath,
        AbortSignal.any([timeout, died.signal, ...(signal ? [signal] : [])]),
      );
    } catch (error) {
      signal?.throwIfAborted();
      if (died.signal.aborted) {
        throw new PoolError("startFailed", `child ${this.id} ended before it answered ${this.#lastWords()}`);
      }
      if (timeout.aborted) {
        throw new PoolError(
          "startTimeout",
          `child ${this.id} did not answer within ${timeoutMs} ms ${this.#lastWords()}`,
        );
      }
      throw error;
    }
    await this.#rememberNamespace();
    if (this.#state.kind === "starting") this.#state = { kind: "ready", since: this.#parts.now() };
  }

  stop(): Promise<Exit> {
    const { kind } = this.#state;
    if (kind === "starting") this.kill();
    if (kind === "ready") {
      this.#state = { kind: "stopping", since: this.#parts.now() };
      void this.#terminate().catch((error: unknown) => {
        this.#parts.onCleanupError(error);
        this.kill();
      });
    }
    return this.exited;
  }

  /** Ends the child without grace. */
  kill(): void {
    if (this.#state.kind === "dead") return;
    if (this.#state.kind !== "stopping") this.#state = { kind: "stopping", since: this.#parts.now() };
    // Its whole process group; inside namespaces the death of the outermost process takes the rest along.
    signalProcess(-this.pid, "SIGKILL");
  }

  /** Ends the child without grace, since it uses more than it may. */
  endAtLimit(limit: Limit): void {
    if (this.#state.kind !== "starting" && this.#state.kind !== "ready") return;
    this.#limit = limit;
    this.kill();
  }

  async #terminate(): Promise<void> {
    const server = await this.#serverPid();
    if (server === undefined) return this.kill();
    signalProcess(server, "SIGTERM");
    // It may be held down for its use of the CPU.
    signalProcess(server, "SIGCONT");
    const finished = new AbortController();
    void this.exited.then(() => finished.abort());
    await delay(this.#parts.graceMs, undefined, { signal: finished.signal }).then(
      () => this.kill(),
      () => {},
    );
  }

  /** The process that runs the bundle: bubblewrap passes no signals on, and dies of SIGTERM itself. */
  async #serverPid(): Promise<number | undefined> {
    if (!this.#hasNamespaces) return this.pid;
    const [init] = await childrenOf(this.pid);
    return init === undefined ? undefined : (await childrenOf(init))[0];
  }

  get #hasNamespaces(): boolean {
    return this.isolation.level === "strict" || this.isolation.level === "contained";
  }

  async #rememberNamespace(): Promise<void> {
    if (!this.#hasNamespaces) return;
    const [pid] = await childrenOf(this.pid);
    const startTime = pid === undefined ? undefined : await startTimeOf(pid);
    if (pid !== undefined && startTime !== undefined) this.#namespaceInit = { pid, startTime };
  }

  async #bury(code: number | null, signal: NodeJS.Signals | null, closed: Promise<unknown>): Promise<Exit> {
    const isStopped = this.#state.kind === "stopping" && this.#limit === undefined;
    const { process: child, resources, onCleanupError, now } = this.#parts;
    let isOutOfMemory = false;
    // First of them, and they are given back also when it fails: the kernel may take seconds to clear away what a child
    // left, and a socket and a uid that are kept for that are lost for ever.
    resources.defer(() => this.#endDescendants());
    try {
      // While the group is there to be asked.
      isOutOfMemory = (await this.cgroup?.hasRunOutOfMemory()) ?? false;
      await resources.disposeAsync();
    } catch (error) {
      onCleanupError(error);
    }
    await Promise.race([closed, delay(outputTimeoutMs, undefined, { ref: false })]);
    for (const stream of child.stdio) stream?.destroy();
    const cause = isStopped ? "stopped" : code === 0 && this.#limit === undefined ? "exited" : "crashed";
    if (cause === "crashed" && (isOutOfMemory || saysOutOfMemory(this.logs))) this.#limit ??= "memory";
    const exit: Exit = { code, signal, cause, ...(this.#limit ? { limit: this.#limit } : {}) };
    this.#state = { kind: "dead", since: now(), exit };
    return exit;
  }

  /** What a uid of its own does not cover: releasing that ends all its processes. */
  async #endDescendants(): Promise<void> {
    if (this.isolation.level === "none") return signalProcess(-this.pid, "SIGKILL");
    const init = this.#namespaceInit;
    if (!init) return;
    const isGone = await waitUntil(async () => {
      if ((await startTimeOf(init.pid)) !== init.startTime) return true;
      signalProcess(init.pid, "SIGKILL");
      return false;
    }, namespaceEndTimeoutMs);
    if (!isGone) throw new Error(`the init process ${init.pid} of child ${this.id} survives SIGKILL`);
  }

  #lastWords(): string {
    const tail = this.logs
      .lines()
      .slice(-20)
      .map((line) => line.text)
      .join("\n")
      .slice(-2_000);
    return tail === "" ? "(it wrote nothing)" : `and last wrote:\n${tail}`;
  }
}

// What V8, Node, libstdc++ and Python write when an allocation was refused. A server that writes this untruly is told to
// have met a limit that it did not meet, and wins nothing by it.
const outOfMemoryWords =
  /JavaScript heap out of memory|process out of memory|Array buffer allocation failed|ERR_MEMORY_ALLOCATION_FAILED|ERR_WORKER_OUT_OF_MEMORY|std::bad_alloc|^MemoryError/;

function saysOutOfMemory(logs: LogRing): boolean {
  return logs
    .lines()
    .slice(-100)
    .some(({ stream, text }) => stream === "stderr" && outOfMemoryWords.test(text));
}
