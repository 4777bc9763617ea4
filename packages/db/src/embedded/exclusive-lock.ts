import { constants } from "node:fs";
import { open, readFile, type FileHandle } from "node:fs/promises";

import { describeError, EmbeddedPostgresFailure } from "./failure.ts";
import { hasCode } from "./has-code.ts";
import { runProgram } from "./run-program.ts";

/** BSD's "take the lock with the opening", which Node does not list (macOS: sys/fcntl.h). */
const openWithExclusiveLock = 0x20;

/**
 * Takes a lock that the kernel releases when this process ends, however it ends: a lock that has to be declared stale
 * by its age or by a process id is wrong in exactly the cases it is for.
 *
 * Node has no flock(2). The lock belongs to the open file, not to the process that asked for it, so flock(1) takes it on
 * a descriptor that it inherits from us; macOS has no flock(1), but takes the lock while opening.
 *
 * @returns the lock, or the process id of its holder (as far as it is known).
 */
export async function lockExclusively(path: string): Promise<FileHandle | { heldBy: string }> {
  const heldBy = async (): Promise<{ heldBy: string }> => ({
    heldBy: (await readFile(path, "utf8")).trim() || "unknown",
  });
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  if (process.platform === "darwin") {
    try {
      return await sign(await open(path, flags | openWithExclusiveLock | constants.O_NONBLOCK, 0o600));
    } catch (error) {
      if (hasCode(error, "EAGAIN")) return heldBy();
      throw error;
    }
  }
  const file = await open(path, flags, 0o600);
  try {
    const { code, output } = await runProgram("flock", ["-n", "3"], {
      descriptor: file.fd,
      timeoutMs: 5_000,
    });
    if (code === 0) return await sign(file);
    if (code !== 1) throw new Error(output.trim());
  } catch (error) {
    await file.close();
    throw new EmbeddedPostgresFailure(
      "unusableHome",
      `${path} cannot be locked with flock(1): ${describeError(error)}. Install util-linux, and keep the home on a local disk.`,
      { cause: error },
    );
  }
  await file.close();
  return heldBy();
}

async function sign(file: FileHandle): Promise<FileHandle> {
  await file.truncate(0);
  await file.write(`${process.pid}\n`, 0);
  return file;
}
