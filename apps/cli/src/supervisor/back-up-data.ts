import { cp, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const kept = 2;

/**
 * Copies the data of a stopped embedded database beside itself, before migrations change it. Going back is: stop, put
 * the copy in its place, start the version that wrote it. Only the newest copies are kept.
 * @param migration the first of the migrations to come; their names sort by age
 * @returns where the copy is
 */
export async function backUpData(dataDirectory: string, migration: string): Promise<string> {
  const parent = dirname(dataDirectory);
  const prefix = `${basename(dataDirectory)}-before-`;
  const copy = join(parent, `${prefix}${migration}`);
  const draft = `${copy}.partial`;
  await rm(draft, { recursive: true, force: true });
  await cp(dataDirectory, draft, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  // A copy from an earlier try is as good, but this one is certainly whole.
  await rm(copy, { recursive: true, force: true });
  await rename(draft, copy);
  const copies = (await readdir(parent)).filter((name) => name.startsWith(prefix)).toSorted();
  for (const old of copies.slice(0, -kept)) await rm(join(parent, old), { recursive: true, force: true });
  return copy;
}
