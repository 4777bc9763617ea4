import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";

import { errorCode } from "./error-code.ts";
import { Failure } from "./failure.ts";

const sqliteBusy = 5;
const pollMs = 20;

/**
 * Takes the lock at `path` if nobody holds it. The death of this process, by any means, lets the next one have it.
 *
 * Node has no flock(2). SQLite, which it carries, takes POSIX record locks on the (empty) file: the kernel drops them
 * with their holder, so nothing is left to judge after `kill -9`, and children do not inherit them.
 */
export function tryLock(path: string): Disposable | undefined {
  create(path);
  const database = new DatabaseSync(path);
  try {
    // Nothing is ever written, so a journal beside the file would only be litter after `kill -9`.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (error instanceof Error && "errcode" in error && error.errcode === sqliteBusy) return undefined;
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}

/**
 * Makes the file if it is not there. Whoever may read a file may lock it, so nobody else may. An existing one is not
 * opened: closing any descriptor of a file drops all POSIX locks that this process has on it.
 */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

/** @throws Failure when the lock does not become free in time */
export async function waitForLock(path: string, timeoutMs: number): Promise<Disposable> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock !== undefined) return lock;
    if (performance.now() > deadline) {
      throw new Failure(`Another process has held ${path} for more than ${timeoutMs / 1000} s. Try again.`);
    }
    await delay(pollMs);
  }
}
