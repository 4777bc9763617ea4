import { readFileSync } from "node:fs";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { stateDirectory } from "./paths.mjs";

const pollMs = 200;
const giveUpAfterMs = 15 * 60_000;

/**
 * Runs `work` while no other command of this clone installs or builds. A lock whose owner is gone is taken over.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 * @throws when another command holds the lock for 15 minutes
 */
export async function withLock(work) {
  await mkdir(stateDirectory, { recursive: true });
  const lock = join(stateDirectory, "lock");
  const claim = join(stateDirectory, `lock.${process.pid}`);
  const deadline = performance.now() + giveUpAfterMs;
  let told = false;
  try {
    for (;;) {
      await writeFile(claim, describeProcess(process.pid));
      if (await tryLink(claim, lock)) break;
      const owner = await readIfThere(lock);
      if (owner === undefined) continue;
      const ownerPid = Number(owner.split(" ")[0]);
      if (!isRunning(ownerPid, owner)) {
        await removeStale(lock, owner, claim);
        continue;
      }
      if (performance.now() > deadline) {
        throw new Error(
          `Another MiniMCP command (process ${ownerPid}) has been installing for 15 minutes. End it and try again.`,
        );
      }
      if (!told)
        process.stderr.write(
          `Waiting for another MiniMCP command to finish installing (process ${ownerPid}) …\n`,
        );
      told = true;
      await wait(pollMs);
    }
  } finally {
    await rm(claim, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/**
 * A link appears together with its content, so nobody ever reads a lock that is half written.
 *
 * @param {string} from
 * @param {string} to
 */
async function tryLink(from, to) {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  }
}

/** @param {string} file */
async function readIfThere(file) {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Two may find the same stale lock. The one that comes second has moved the first one's fresh lock, and puts it back.
 *
 * @param {string} lock
 * @param {string} staleOwner
 * @param {string} aside where the lock is moved
 */
async function removeStale(lock, staleOwner, aside) {
  try {
    await rename(lock, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  if ((await readFile(aside, "utf8")) !== staleOwner) await tryLink(aside, lock);
}

/**
 * @param {number} pid
 * @param {string} owner
 */
function isRunning(pid, owner) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (!hasCode(error, "EPERM")) return false;
  }
  return owner === describeProcess(pid);
}

/**
 * A process id with the time the kernel started it, which tells it from a later process with the same id. Only the id
 * where there is no /proc.
 *
 * @param {number} pid
 */
function describeProcess(pid) {
  try {
    // proc_pid_stat(5): field 22, counted from behind the name in parentheses, which may contain spaces itself.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return `${pid} ${stat.slice(stat.lastIndexOf(")")).split(" ")[20]}`;
  } catch {
    return `${pid}`;
  }
}

/**
 * @param {unknown} error
 * @param {string} code
 */
function hasCode(error, code) {
  return error instanceof Error && "code" in error && error.code === code;
}
