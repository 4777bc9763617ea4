import { chown, lstat, mkdir, opendir, rm } from "node:fs/promises";
import { join } from "node:path";

import type { UidSlot } from "./uid-slots.ts";

/** A directory in which one child alone may write; where it has no /tmp of its own. */
export interface PrivateTmp extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes the directory. It is removed when nothing runs under the child's uid any more: while somebody does, a directory
 * of it can become a link on the way down, and root would remove what that leads to.
 *
 * @param path new, in a directory that is root's and that the child's uid can pass through.
 */
export async function makePrivateTmp(path: string, slot: UidSlot): Promise<PrivateTmp> {
  await mkdir(path, { mode: 0o700 });
  await chown(path, slot.uid, slot.uid);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await slot.clear();
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** What the smallest file counts for: a million empty ones take the disk's inodes, and the time of whoever counts them. */
const leastEntryBytes = 16 * 1024;

/**
 * Whether what lies in a directory takes more than so many bytes of the disk. Links are not followed. A child that moves
 * things about meanwhile can be counted wrong, to its own disadvantage at most by what it could have read itself.
 */
export async function isLargerThan(directory: string, limitBytes: number): Promise<boolean> {
  let bytes = 0;
  const open = [directory];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    try {
      for await (const entry of await opendir(path)) {
        const child = join(path, entry.name);
        const found = await lstat(child).catch(() => undefined);
        bytes += Math.max(leastEntryBytes, (found?.blocks ?? 0) * 512);
        if (bytes > limitBytes) return true;
        if (found?.isDirectory()) open.push(child);
      }
    } catch {
      // Gone, or turned into something else, since it was listed.
    }
  }
  return false;
}
