import { chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Read-only files of one child, removed with it. */
export interface ChildFiles extends AsyncDisposable {
  readonly directory: string;
  /** Names in the directory. */
  readonly names: readonly string[];
}

/** Letters, digits, `.`, `-` and `_`, not led by a dot: it becomes part of paths. */
export const fileNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * Writes the files where the child's uid can read them and nobody else. The directory stays the worker's, so that the
 * child can neither replace a file nor put a link in its place.
 *
 * @param directory new, in one that the child's uid can pass through.
 * @param uid that of the child; undefined when it is the worker's own.
 */
export async function stageFiles(
  directory: string,
  files: Readonly<Record<string, string | Buffer>>,
  uid: number | undefined,
): Promise<ChildFiles> {
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const names = Object.keys(files);
  try {
    await mkdir(directory);
    await chmod(directory, 0o711);
    for (const [name, content] of Object.entries(files)) {
      const path = join(directory, name);
      await writeFile(path, content, { mode: 0o400, flag: "wx" });
      if (uid !== undefined) await chown(path, uid, uid);
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { directory, names, [Symbol.asyncDispose]: remove };
}
