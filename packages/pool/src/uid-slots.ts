import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { type FileLock, tryLock } from "./file-lock.ts";
import { PoolError } from "./pool-error.ts";
import { processesByUid, waitUntil } from "./processes.ts";
import { claimDirectory } from "./runtime-directory.ts";
import { shareNext } from "./share-next.ts";

export interface UidSlotOptions {
  /** First uid that children run under; their group has the same number. */
  firstUid: number;
  /** How many uids, hence children, there may be at once on this host. */
  count: number;
  /** Where the locks of the uids live. Host-wide by nature, so it does not follow the runtime directory. */
  lockDirectory: string;
}

export const defaultSlots: UidSlotOptions = {
  firstUid: 20_000,
  count: 100,
  lockDirectory: "/run/minimcp/uid",
};

/** A uid that nobody else on this host runs a child under, until it is disposed. */
export interface UidSlot extends AsyncDisposable {
  readonly uid: number;
  /** Ends all its processes, and keeps it. @throws when something survives */
  clear(): Promise<void>;
}

/** Absolute paths of the programs that end a uid's processes. */
export interface UidTools {
  readonly setpriv: string;
  readonly sh: string;
}

const clearTimeoutMs = 5_000;
/** How long a uid whose processes survive SIGKILL is passed over: to try it again takes `clearTimeoutMs`. */
const stuckMs = 60_000;

/** The uids of one host, shared by every pool on it through locks that die with their holder. */
export class UidSlots {
  readonly #options: UidSlotOptions;
  readonly #tools: UidTools;
  /** Until when to pass over a uid, on the monotonic clock. */
  readonly #stuck = new Map<number, number>();
  /** A hundred children that end together would each read the whole of /proc. */
  readonly #look = shareNext(processesByUid);

  private constructor(options: UidSlotOptions, tools: UidTools) {
    this.#options = options;
    this.#tools = tools;
  }

  /** Opens the table and ends what runs under a slot whose holder died: without a pid namespace it may outlive it. */
  static async open(options: UidSlotOptions, tools: UidTools): Promise<UidSlots> {
    await claimDirectory(options.lockDirectory, 0o700);
    const slots = new UidSlots(options, tools);
    const running = await processesByUid();
    for (const name of await readdir(options.lockDirectory)) {
      const uid = Number(/^(\d+)\.lock$/.exec(name)?.[1]);
      if (!slots.#covers(uid) || !running.has(uid)) continue;
      const lock = tryLock(join(options.lockDirectory, name));
      if (!lock) continue;
      await slots.#makeEmpty(uid, true, lock);
      lock[Symbol.dispose]();
    }
    return slots;
  }

  /**
   * Takes the first free uid. One of which a process hangs in the kernel, and so survives SIGKILL, is passed over.
   *
   * @throws PoolError `noCapacity` when all are taken.
   */
  async acquire(): Promise<UidSlot> {
    const { firstUid, count, lockDirectory } = this.#options;
    for (let uid = firstUid; uid < firstUid + count; uid++) {
      if (performance.now() < (this.#stuck.get(uid) ?? 0)) continue;
      const path = join(lockDirectory, `${uid}.lock`);
      const wasOurs = existsSync(path);
      const lock = tryLock(path);
      if (!lock) continue;
      if (await this.#makeEmpty(uid, wasOurs, lock)) {
        return {
          uid,
          clear: () => this.clear(uid),
          [Symbol.asyncDispose]: () => this.#release(uid, lock),
        };
      }
    }
    throw new PoolError(
      "noCapacity",
      `all ${count} child uids from ${firstUid} are taken or stuck on this host. Stop an instance, or give the pool a wider range.`,
    );
  }

  /**
   * Ends every process of a slot, however it detached itself. kill(2) with -1 by the uid itself is one pass under the
   * kernel's task lock, so a fork bomb cannot outrun it as it would outrun a list of pids.
   *
   * @throws when something survives.
   */
  async clear(uid: number): Promise<void> {
    const { setpriv, sh } = this.#tools;
    const isEmpty = await waitUntil(async () => {
      if (await this.#isEmpty(uid)) return true;
      const id = String(uid);
      const identity = ["--reuid", id, "--regid", id, "--clear-groups"];
      // The shell is one of the killed, so it always "fails".
      await promisify(execFile)(setpriv, [...identity, sh, "-c", "kill -KILL -1"], {
        env: {},
        cwd: "/",
        timeout: clearTimeoutMs,
      }).catch(() => {});
      return await this.#isEmpty(uid);
    }, clearTimeoutMs);
    if (!isEmpty) throw new Error(`processes of uid ${uid} survive SIGKILL`);
  }

  async #isEmpty(uid: number): Promise<boolean> {
    return !(await this.#look()).has(uid);
  }

  #covers(uid: number): boolean {
    return uid >= this.#options.firstUid && uid < this.#options.firstUid + this.#options.count;
  }

  async #makeEmpty(uid: number, wasOurs: boolean, lock: FileLock): Promise<boolean> {
    try {
      if (await this.#isEmpty(uid)) return true;
      if (wasOurs) return await this.#tryToClear(uid, lock);
      // No pool ever used this uid, yet somebody runs under it: a real user of this host. Leave it alone, and leave
      // no lock file that would make it look like ours next time.
      await unlink(lock.path);
      lock[Symbol.dispose]();
      return false;
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  async #tryToClear(uid: number, lock: FileLock): Promise<boolean> {
    try {
      await this.clear(uid);
      return true;
    } catch {
      this.#stuck.set(uid, performance.now() + stuckMs);
      lock[Symbol.dispose]();
      return false;
    }
  }

  async #release(uid: number, lock: FileLock): Promise<void> {
    try {
      await this.clear(uid);
    } finally {
      lock[Symbol.dispose]();
    }
  }
}
