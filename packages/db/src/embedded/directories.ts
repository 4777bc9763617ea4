import { chmod, chown, lstat, mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import { describeError, EmbeddedPostgresFailure } from "./failure.ts";

/**
 * Creates a directory, or takes an existing one, and gives it exactly this mode and group.
 *
 * An existing one must be a real directory of ours: below /tmp anybody could have put a directory or a link there first.
 *
 * @throws EmbeddedPostgresFailure `unusableHome`.
 */
export async function makeDirectory(
  path: string,
  { mode, gid }: { mode: number; gid?: number | undefined },
): Promise<void> {
  const uid = ownUid();
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw new EmbeddedPostgresFailure(
      "unusableHome",
      `The directory ${path} cannot be created: ${describeError(error)}.`,
      {
        cause: error,
      },
    );
  }
  const found = await lstat(path);
  if (!found.isDirectory() || found.uid !== uid) {
    throw new EmbeddedPostgresFailure(
      "unusableHome",
      `${path} is not a directory of the user who starts MiniMCP (uid ${uid}), but belongs to uid ${found.uid}. Start as its owner, or choose another MINIMCP_HOME.`,
    );
  }
  if (gid !== undefined && found.gid !== gid) await chown(path, uid, gid);
  if ((found.mode & 0o7777) !== mode) await chmod(path, mode);
}

/** Whether a user who is neither owner nor in the group can pass through every directory of this path. */
export async function isOpenToOthers(path: string): Promise<boolean> {
  for (let directory = resolve(path); ; directory = dirname(directory)) {
    if (((await stat(directory)).mode & 0o001) === 0) return false;
    if (directory === dirname(directory)) return true;
  }
}

export async function isPresent(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

export function ownUid(): number {
  const uid = process.getuid?.();
  if (uid === undefined) {
    throw new EmbeddedPostgresFailure(
      "notInstalled",
      "The embedded database needs Linux or macOS. Set DATABASE_URL to a server of your own.",
    );
  }
  return uid;
}
