import { createHash, randomBytes } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
} from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { pipeline } from "node:stream/promises";

import { PoolError } from "./pool-error.ts";
import type { RuntimeDirectory } from "./runtime-directory.ts";

// 128 bits of SHA-256: the names end up in every command line, and nobody but the worker can write here.
const hashHexLength = 32;

/**
 * Copies a file or directory into the stage under the hash of its content, unless it is there already. A slot uid
 * cannot read a 0700 home or a clone under /root; this is where it can.
 *
 * The copy is made aside, hashed itself (the source may change meanwhile) and renamed into place, so several openers
 * may stage the same thing at once and nobody sees half of it.
 *
 * @param prefix first part of the staged name, `node` or `bundle`.
 * @returns the absolute path of the staged copy.
 * @throws PoolError `invalidSpec` for links that leave the directory and for devices, sockets and pipes.
 */
export async function stageContent(
  runtime: RuntimeDirectory,
  prefix: string,
  source: string,
): Promise<string> {
  if (!(await exists(source)))
    throw new PoolError("invalidSpec", `${source} does not exist, so it cannot be staged`);
  const known = join(runtime.stage, `${prefix}-${await hashTree(source)}`);
  if (await exists(known)) {
    const now = new Date();
    await utimes(known, now, now);
    return known;
  }

  const copy = join(runtime.scratch, randomBytes(8).toString("hex"));
  try {
    await copyTree(source, copy);
    const staged = join(runtime.stage, `${prefix}-${await hashTree(copy)}`);
    try {
      await rename(copy, staged);
    } catch (error) {
      // Another opener was first: a directory cannot be renamed over a full one.
      if (!(await exists(staged))) throw error;
    }
    return staged;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

interface Entry {
  readonly path: string;
  readonly kind: "file" | "directory" | "link";
  readonly executable: boolean;
  /** Where a link leads, as written in it. */
  readonly target: string;
}

/** The tree below `root` in a fixed order, `root` itself first with the path "". */
async function listTree(root: string, path = ""): Promise<Entry[]> {
  const absolute = join(root, path);
  const found = await lstat(absolute);
  const executable = (found.mode & 0o111) !== 0;
  if (found.isFile()) return [{ path, kind: "file", executable, target: "" }];
  if (found.isSymbolicLink()) {
    const target = await readlink(absolute);
    const inside = relative(root, resolve(dirname(absolute), target));
    if (isAbsolute(target) || inside.startsWith("..")) {
      throw new PoolError(
        "invalidSpec",
        `${absolute} links to ${target}, outside its bundle. Put the content itself there.`,
      );
    }
    return [{ path, kind: "link", executable, target }];
  }
  if (!found.isDirectory()) {
    throw new PoolError(
      "invalidSpec",
      `${absolute} is neither a file nor a directory: a bundle holds nothing else.`,
    );
  }
  const names = (await readdir(absolute)).toSorted();
  const below: Entry[] = [{ path, kind: "directory", executable, target: "" }];
  for (const name of names) below.push(...(await listTree(root, join(path, name))));
  return below;
}

async function hashTree(root: string): Promise<string> {
  const hash = createHash("sha256");
  for (const { path, kind, executable, target } of await listTree(root)) {
    const mode = kind === "file" && executable ? "executable" : "";
    hash.update(JSON.stringify([path, kind, mode, target]));
    if (kind === "file") {
      const content = createHash("sha256");
      await pipeline(createReadStream(join(root, path), { highWaterMark: 1 << 20 }), content);
      hash.update(content.digest());
    }
  }
  return hash.digest("hex").slice(0, hashHexLength);
}

async function copyTree(source: string, destination: string): Promise<void> {
  for (const { path, kind, executable, target } of await listTree(source)) {
    const copy = join(destination, path);
    if (kind === "directory") {
      await mkdir(copy);
      await chmod(copy, 0o755);
    } else if (kind === "link") {
      await symlink(target, copy);
    } else {
      await copyFile(join(source, path), copy, constants.COPYFILE_FICLONE);
      await chmod(copy, executable ? 0o555 : 0o444);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
