import { chmod, type FileHandle, open, rename, stat } from "node:fs/promises";

const maxLogBytes = 10 * 1024 * 1024;

/** Opens a log for appending. A large one is set aside first, in place of the one set aside before. */
export async function openLogFile(path: string): Promise<FileHandle> {
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size > maxLogBytes) await rename(path, `${path}.1`);
  const file = await open(path, "a", 0o640);
  await chmod(path, 0o640);
  return file;
}
