import { closeSync, existsSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** A held lock. Disposing it, or the death of this process by any means, lets the next one have it. */
export interface FileLock extends Disposable {
  readonly path: string;
}

const sqliteBusy = 5;

/**
 * Takes the lock at `path` if nobody holds it; never waits.
 *
 * Node has no flock(2). SQLite, which it carries, takes POSIX record locks on the (empty) file: the kernel
 * drops them with their holder, so nothing is left to judge after `kill -9`, and no pid can be mistaken for a
 * reused one. Children do not inherit them. Works between processes and inside one, on Linux and macOS.
 *
 * A holder may unlink the file before disposing. Whoever opened it just before then holds a lock on a file that
 * is no longer there, so the path is looked at once more after locking.
 *
 * @throws when the file cannot be opened or is not a lock file.
 */
export function tryLock(path: string): FileLock | undefined {
  createPrivately(path);
  const database = new DatabaseSync(path);
  try {
    // Nothing is ever written, so a journal beside the file would only be litter after `kill -9`.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (error instanceof Error && "errcode" in error && error.errcode === sqliteBusy) return undefined;
    throw error;
  }
  if (!existsSync(path)) {
    database.close();
    return undefined;
  }
  return { path, [Symbol.dispose]: () => database.close() };
}

/**
 * Whoever may read a file may lock it, and another user's lock would keep every worker of the host from starting.
 *
 * Never opens a file that is there: to close it again would drop the locks that this process has on it (fcntl(2)).
 */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}
