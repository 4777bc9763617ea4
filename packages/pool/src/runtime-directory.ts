import { randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, readdir, rm, unlink } from "node:fs/promises";
import { join } from "node:path";

import { type FileLock, tryLock } from "./file-lock.ts";
import { PoolError } from "./pool-error.ts";
import { waitUntil } from "./processes.ts";

/**
 * One opener's share of the runtime directory.
 *
 * ```
 * <root>/               0711: slot uids pass through, nobody lists
 *   stage/              Node binary and bundles by content hash, read-only, shared by all openers
 *   o/<owner>.lock      held as long as the owner lives
 *   o/<owner>/          0711: sockets of brokers, which a slot uid must reach
 *   o/<owner>/s/        0700: ingress sockets, reached by the owner alone
 *   o/<owner>/t/        0700: what is being staged
 *   o/<owner>/f/        0711: files that children are given, each child's by its id
 *   o/<owner>/p/        0711: temporary directories of children that have no /tmp of their own, by their ids
 * ```
 */
export interface RuntimeDirectory extends AsyncDisposable {
  readonly stage: string;
  readonly directory: string;
  readonly sockets: string;
  readonly scratch: string;
  readonly files: string;
  readonly temporary: string;
  /** Owners found dead and cleared away. */
  readonly sweptOwners: readonly string[];
}

// sun_path holds 108 bytes on Linux and 104 on macOS, with the closing zero; longer paths are cut without an error.
const socketPathLimitBytes = 100;
const longestSocketNames = ["s/1000000.sock", "1000000.egress"];

/**
 * Creates or verifies the directory, clears what dead owners left, and takes a share of it. Several openers, in one
 * process or many, may share a root; what a living one owns is never touched.
 *
 * @throws PoolError `runtimeUnusable` when the directory belongs to another user, is a link, or its path is too
 * long for sockets.
 */
export async function openRuntimeDirectory(root: string): Promise<RuntimeDirectory> {
  await claimDirectory(root);
  const stage = join(root, "stage");
  const owners = join(root, "o");
  await claimDirectory(stage);
  await claimDirectory(owners);

  // One opener at a time: otherwise one could judge the stage unused while another begins to use it.
  using turn = new DisposableStack();
  turn.use(await waitForLock(join(root, "open.lock")));
  const { swept, living } = await sweepDeadOwners(owners);
  if (living === 0) await expireStage(stage);

  const directory = join(owners, randomBytes(4).toString("hex"));
  const sockets = join(directory, "s");
  const scratch = join(directory, "t");
  const files = join(directory, "f");
  const temporary = join(directory, "p");
  const longest = Math.max(...longestSocketNames.map((name) => Buffer.byteLength(join(directory, name))));
  if (longest >= socketPathLimitBytes) {
    throw new PoolError(
      "runtimeUnusable",
      `runtime directory ${root} is too long a path: its sockets must stay under ${socketPathLimitBytes} bytes. Choose a shorter one, for example /run/minimcp.`,
    );
  }
  const lock = tryLock(`${directory}.lock`);
  if (!lock) throw new Error(`${directory} belongs to another pool already`);
  try {
    await claimDirectory(directory);
    await claimDirectory(sockets, 0o700);
    await claimDirectory(scratch, 0o700);
    await claimDirectory(files);
    await claimDirectory(temporary);
  } catch (error) {
    await removeOwner(directory, lock);
    throw error;
  }
  return {
    stage,
    directory,
    sockets,
    scratch,
    files,
    temporary,
    sweptOwners: swept,
    [Symbol.asyncDispose]: () => removeOwner(directory, lock),
  };
}

const openingTimeoutMs = 30_000;

async function waitForLock(path: string): Promise<FileLock> {
  let lock: FileLock | undefined;
  await waitUntil(async () => (lock = tryLock(path)) !== undefined, openingTimeoutMs);
  if (lock) return lock;
  throw new PoolError(
    "runtimeUnusable",
    `${path} has been held for ${openingTimeoutMs} ms: another process hangs in it.`,
  );
}

/** Makes sure that `path` is a real directory of this user with mode 0711, creating it if need be. */
export async function claimDirectory(path: string, mode = 0o711): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  // Not stat: in a world-writable parent such as /tmp anybody may have put a link here before us.
  const found = await lstat(path);
  const uid = process.geteuid?.();
  if (!found.isDirectory() || found.uid !== uid) {
    throw new PoolError(
      "runtimeUnusable",
      `${path} is not a directory of uid ${uid} (a link, or another user's). Remove it or choose another runtime directory.`,
    );
  }
  if ((found.mode & 0o7777) !== mode) await chmod(path, mode);
}

/** Removes what dead owners left. Those of this process count as living too: their locks are held. */
async function sweepDeadOwners(owners: string): Promise<{ swept: string[]; living: number }> {
  const swept: string[] = [];
  let living = 0;
  for (const name of await readdir(owners)) {
    if (!name.endsWith(".lock")) continue;
    const lock = tryLock(join(owners, name));
    if (!lock) {
      living++;
      continue;
    }
    const owner = name.slice(0, -".lock".length);
    await removeOwner(join(owners, owner), lock);
    swept.push(owner);
  }
  return { swept, living };
}

const stageLifetimeMs = 24 * 60 * 60 * 1000;

/** Removes staged content that nobody asked for in a day; only while no owner lives. */
async function expireStage(stage: string): Promise<void> {
  for (const name of await readdir(stage)) {
    const path = join(stage, name);
    // Staging sets this time anew with each use.
    const { mtimeMs } = await lstat(path);
    if (Date.now() - mtimeMs > stageLifetimeMs) await rm(path, { recursive: true, force: true });
  }
}

async function removeOwner(directory: string, lock: FileLock): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
    await unlink(lock.path);
  } finally {
    lock[Symbol.dispose]();
  }
}
