import { execFile } from "node:child_process";
import { appendFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** A filesystem of a few kilobytes at a directory, so that it can be full in reality. */
export interface SmallDisk extends AsyncDisposable {
  /** Leaves room for nothing. */
  fill(): Promise<void>;
  /** Takes away again what filled it. */
  clear(): Promise<void>;
}

const sizeKiB = 512;

/** @returns nothing where this process may not mount, which is told in one line */
export async function mountSmallDisk(directory: string): Promise<SmallDisk | undefined> {
  const execute = promisify(execFile);
  try {
    await execute("mount", ["-t", "tmpfs", "-o", `size=${sizeKiB}k,mode=0750`, "minimcp-test", directory]);
  } catch {
    process.stderr.write("No disk is filled: this process may not mount one.\n");
    return undefined;
  }
  const ballast = join(directory, "ballast");
  return {
    fill: async () => {
      const others = await readdir(directory);
      // It ends at the size of the disk, with ENOSPC, and the others at the end of the page they have.
      await writeFile(ballast, Buffer.alloc(sizeKiB * 1024)).catch(() => undefined);
      for (const name of others) {
        await appendFile(join(directory, name), "\n".repeat(4_096)).catch(() => undefined);
      }
    },
    clear: () => rm(ballast, { force: true }),
    [Symbol.asyncDispose]: async () => {
      await execute("umount", ["--lazy", directory]);
    },
  };
}
