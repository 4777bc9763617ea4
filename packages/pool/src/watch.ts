import type { SandboxedChild } from "./child.ts";
import type { Limit } from "./limits.ts";
import { isLargerThan } from "./private-tmp.ts";
import { type ProcessUsage, listProcesses, sharedOutBytes, treeOf } from "./process-usage.ts";
import { processesByUid, signalProcess } from "./processes.ts";

const pauseMs = 1_000;
/** While a child is held down, or has taken half of its memory: between two looks it could take the rest. */
const closePauseMs = 100;
/** Of its cores. A child that its cgroup holds down to them wants more when it takes this much. */
const pressingShare = 0.9;

export interface WatchOptions {
  readonly children: () => Iterable<SandboxedChild>;
  readonly onThrottled: (child: SandboxedChild, limit: Limit) => void;
  readonly onError: (child: SandboxedChild, error: unknown) => void;
}

/** What is remembered of a child from one look to the next. */
interface Account {
  lookedAt: number;
  tree: Map<string, ProcessUsage>;
  windowStart: number;
  windowUsedMs: number;
  isThrottled: boolean;
  /** CPU that it took beyond its cores since it is held down. */
  debtMs: number;
  /** Whether it stands still for that, and for how long it has in this window. */
  isPaused: boolean;
  pausedMs: number;
}

/**
 * Looks at all children of a pool with one timer, and ends those that take more memory, CPU or disk than they may.
 *
 * The kernel's own limits count single processes (RLIMIT_DATA) or need a cgroup, which a worker often has none of.
 *
 * Without a cgroup, a child is held down by SIGSTOP and SIGCONT. Niceness would not do: on a machine with nothing else
 * to run, a busy loop at nice 19 still takes a whole core, and its power and heat.
 */
export class Watch implements AsyncDisposable {
  readonly #options: WatchOptions;
  readonly #accounts = new WeakMap<SandboxedChild, Account>();
  #timer: NodeJS.Timeout | undefined;
  #disksLookedAt = -Infinity;
  #looking: Promise<void> = Promise.resolve();
  #isDisposed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#schedule(pauseMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #schedule(afterMs: number): void {
    if (this.#isDisposed) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#lookAtAll();
    }, afterMs);
  }

  async #lookAtAll(): Promise<void> {
    const children = [...this.#options.children()];
    let nextMs = pauseMs;
    // To walk through directories costs more than the rest, and they do not fill as fast as memory.
    const looksAtDisks = performance.now() - this.#disksLookedAt >= pauseMs;
    if (looksAtDisks) this.#disksLookedAt = performance.now();
    if (children.length > 0) {
      const all = listProcesses();
      const byUid = children.some(isKnownByUid) ? await processesByUid() : undefined;
      for (const child of children) {
        const uid = isKnownByUid(child) ? child.uid : undefined;
        const tree =
          uid === undefined
            ? treeOf(child.pid, all)
            : (byUid?.get(uid) ?? []).flatMap((pid) => all.get(pid) ?? []);
        try {
          if (await this.#lookAt(child, tree)) nextMs = closePauseMs;
          if (looksAtDisks) await this.#lookAtDisk(child);
        } catch (error) {
          this.#options.onError(child, error);
        }
      }
    }
    this.#schedule(nextMs);
  }

  /** @returns whether to look again soon. */
  async #lookAt(child: SandboxedChild, tree: readonly ProcessUsage[]): Promise<boolean> {
    const { limits } = child;
    if (child.state.kind === "stopping" || child.state.kind === "dead") {
      // It must be able to run to obey a SIGTERM.
      resume(tree);
      return false;
    }
    const residentBytes = tree.reduce((sum, usage) => sum + usage.residentBytes, 0);
    if (residentBytes > limits.memoryBytes && (await sharedOutBytes(tree)) > limits.memoryBytes) {
      child.endAtLimit("memory");
      return false;
    }
    const isThrottled = await this.#lookAtCpu(child, tree);
    return isThrottled || residentBytes > limits.memoryBytes / 2;
  }

  async #lookAtDisk(child: SandboxedChild): Promise<void> {
    const { temporary, limits } = child;
    if (temporary !== undefined && (await isLargerThan(temporary, limits.tmpBytes))) child.endAtLimit("tmp");
  }

  async #lookAtCpu(child: SandboxedChild, tree: readonly ProcessUsage[]): Promise<boolean> {
    const { cpuCores, cpuWindowMs } = child.limits;
    const now = performance.now();
    const account = this.#accounts.get(child) ?? openAccount(now);
    const usedMs = usedSince(account.tree, tree);
    const elapsedMs = now - account.lookedAt;
    account.lookedAt = now;
    account.tree = index(tree);
    account.windowUsedMs += usedMs;
    if (account.isPaused) account.pausedMs += elapsedMs;
    this.#accounts.set(child, account);

    const windowMs = now - account.windowStart;
    // Judged by what it does while it may run: to stand still for what it took before is not to be modest.
    if (windowMs >= cpuWindowMs && !account.isPaused) {
      const cores = account.windowUsedMs / Math.max(windowMs - account.pausedMs, 1);
      const pressingCores = child.cgroup?.canLimitCpu ? cpuCores * pressingShare : cpuCores;
      if (account.isThrottled && cores > pressingCores) {
        child.endAtLimit("cpu");
        return false;
      }
      const isOver = cores > cpuCores;
      if (isOver && !account.isThrottled) this.#options.onThrottled(child, "cpu");
      if (!isOver && account.isThrottled) resume(tree);
      if (isOver !== account.isThrottled && child.cgroup?.canLimitCpu)
        await child.cgroup.limitCpu(isOver ? cpuCores : undefined);
      Object.assign(account, openAccount(now), { tree: account.tree, isThrottled: isOver });
    } else if (account.isThrottled && !child.cgroup?.canLimitCpu) {
      account.debtMs = Math.max(0, account.debtMs + usedMs - cpuCores * elapsedMs);
      account.isPaused = account.debtMs > 0;
      if (account.isPaused) pause(tree);
      else resume(tree);
    }
    return account.isThrottled;
  }
}

/** Without a pid namespace a process can leave its tree, but not its uid. */
function isKnownByUid(child: SandboxedChild): boolean {
  return child.isolation.level === "hardened";
}

function openAccount(now: number): Account {
  return {
    lookedAt: now,
    tree: new Map(),
    windowStart: now,
    windowUsedMs: 0,
    isThrottled: false,
    debtMs: 0,
    isPaused: false,
    pausedMs: 0,
  };
}

function index(tree: readonly ProcessUsage[]): Map<string, ProcessUsage> {
  return new Map(tree.map((usage) => [nameOf(usage), usage]));
}

function nameOf({ pid, startTime }: ProcessUsage): string {
  return `${pid} ${startTime}`;
}

/**
 * CPU that a tree used between two looks. Two counts, each of which misses something, so the larger one: what the living
 * used themselves misses the last of those that died; the sum with what was waited for misses those that nobody waits for.
 */
function usedSince(before: ReadonlyMap<string, ProcessUsage>, tree: readonly ProcessUsage[]): number {
  const living = tree.reduce((sum, usage) => sum + usage.ownMs - (before.get(nameOf(usage))?.ownMs ?? 0), 0);
  return Math.max(living, totalMs(tree) - totalMs([...before.values()]));
}

function totalMs(tree: readonly ProcessUsage[]): number {
  return tree.reduce((sum, { ownMs, reapedMs }) => sum + ownMs + reapedMs, 0);
}

function pause(tree: readonly ProcessUsage[]): void {
  for (const { pid, isStopped } of tree) if (!isStopped) signalProcess(pid, "SIGSTOP");
}

function resume(tree: readonly ProcessUsage[]): void {
  for (const { pid, isStopped } of tree) if (isStopped) signalProcess(pid, "SIGCONT");
}
