import { execFile } from "node:child_process";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Copies what a clone of the repository's present state would hold: nothing ignored, nothing installed. */
export async function copyCheckout(to: string): Promise<void> {
  // The one who tests need not be the one who cloned.
  const list = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { stdout } = await promisify(execFile)("git", list, { cwd: root, maxBuffer: 16 * 2 ** 20 });
  for (const path of stdout.split("\0").filter((name) => name !== "")) {
    await cp(join(root, path), join(to, path)).catch((error: NodeJS.ErrnoException) => {
      // Deleted, but not yet from the index.
      if (error.code !== "ENOENT") throw error;
    });
  }
}
