import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** What a run leaves behind. The packages' own node_modules stay: they are links that lead back into the copy. */
const leftOut = new Set([".git", ".minimcp", ".turbo", "coverage", "dist"]);

/** A copy of the repository to plant mistakes in, with what is installed in the original. */
export async function copyRepository(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "minimcp-house-"));
  await cp(root, path, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => source !== join(root, "node_modules") && !leftOut.has(basename(source)),
  });
  await symlink(join(root, "node_modules"), join(path, "node_modules"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
