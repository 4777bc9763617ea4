import { readFileSync } from "node:fs";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";

import { stateDirectory } from "./paths.mjs";

const pollMs = 200;
const giveUpAfterMs = 15 * 60_000;

const lock = join(stateDirectory, "lock");

let isHeld = false;

/**
 * Runs `work` while no other command of this clone installs or builds. A lock is taken over when its owner is gone and
 * with it what it had started.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 * @throws when another command holds the lock for 15 minutes
 */
export async function withLock(work) {
  await mkdir(stateDirectory, { recursive: true });
  const claim = claimFile();
  const deadline = performance.now() + giveUpAfterMs;
  let told = false;
  try {
    for (;;) {
      await writeFile(claim, describeProcess(process.pid));
      if (await tryLink(claim)) break;
      const owners = await readIfThere(lock);
      if (owners === undefined) continue;
      const running = owners.split("\n").find(isRunning);
      if (running === undefined) {
        await removeStale(owners, claim);
        continue;
      }
      const ownerPid = pidOf(running);
      if (performance.now() > deadline) {
        throw new Error(
          `Another MiniMCP command (process ${ownerPid}) has been installing for 15 minutes. End it and try again.`,
        );
      }
      if (!told) {
        process.stderr.write(`Waiting for the MiniMCP command that is installing (process ${ownerPid}) …\n`);
        told = true;
      }
      await wait(pollMs);
    }
  } finally {
    await rm(claim, { force: true });
  }
  isHeld = true;
  try {
    return await work();
  } finally {
    isHeld = false;
    await rm(lock, { force: true });
  }
}

/**
 * Makes a process that this one has started an owner of the lock too, if this one holds it: should this one be killed,
 * an installer that goes on without it still keeps the next one waiting.
 *
 * @param {number} pid
 */
export async function shareLock(pid) {
  if (!isHeld) return;
  const claim = claimFile();
  await writeFile(claim, `${describeProcess(process.pid)}\n${describeProcess(pid)}`);
  await rename(claim, lock);
}

function claimFile() {
  return join(stateDirectory, `lock.${process.pid}`);
}

/**
 * A link appears together with its content, so nobody ever reads a lock that is half written.
 *
 * @param {string} claim
 */
async function tryLink(claim) {
  try {
    await link(claim, lock);
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
 * @param {string} staleOwners
 * @param {string} aside where the lock is moved
 */
async function removeStale(staleOwners, aside) {
  try {
    await rename(lock, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  if ((await readFile(aside, "utf8")) !== staleOwners) await tryLink(aside);
  // It may be the very file that is the lock again, which the next claim must not write into.
  await rm(aside, { force: true });
}

/** @param {string} owner as `describeProcess` wrote it */
function isRunning(owner) {
  const pid = pidOf(owner);
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (!hasCode(error, "EPERM")) return false;
  }
  return owner === describeProcess(pid);
}

/** @param {string} owner */
function pidOf(owner) {
  return Number(owner.split(" ")[0]);
}

/**
 * A process id with the time the kernel started it, which tells it from a later process with the same id. Only the id
 * where there is no /proc; empty for a process that has ended and that nobody has waited for.
 *
 * @param {number} pid
 */
function describeProcess(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc_pid_stat(5): state and start time are fields 3 and 22; the name in parentheses ahead may contain spaces.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : `${pid} ${fields[19]}`;
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
