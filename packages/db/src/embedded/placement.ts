import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { ServerAccounts } from "./accounts.ts";
import { isOpenToOthers, isPresent, makeDirectory, ownUid } from "./directories.ts";
import { EmbeddedPostgresFailure } from "./failure.ts";
import { hasCode } from "./has-code.ts";

/** `sun_path` (unix(7)) has room for 107 bytes and a closing zero, on macOS for 103; a longer path is cut off. */
const maxSocketPathBytes = 99;
export const socketPort = 5432;

/** Creates the home and its `secrets`, or corrects their modes. @returns its real path. */
export async function prepareHome(home: string): Promise<string> {
  await mkdir(home, { recursive: true, mode: 0o711 }).catch((error: unknown) => {
    throw new EmbeddedPostgresFailure("unusableHome", `The home ${home} cannot be created.`, {
      cause: error,
    });
  });
  const path = await realpath(home);
  await makeDirectory(path, { mode: 0o711 });
  await makeDirectory(join(path, "secrets"), { mode: 0o700 });
  return path;
}

/**
 * Where the database lives: in the home, or, when the server's user could not get there (a home below /root), in a
 * directory of its own below `closedHomeRoot`. The home remembers which.
 */
export async function chooseBaseDirectory(home: string, closedHomeRoot: string): Promise<string> {
  const inHome = join(home, "database");
  if (ownUid() !== 0) return inHome;
  const record = join(home, "database-location");
  const known = (await readIfPresent(record))?.trim();
  if (known !== undefined) {
    // Only a name of ours, never a path: as root we create, hand over and delete below it.
    if (!/^[0-9a-f]{12}$/.test(known)) {
      throw new EmbeddedPostgresFailure(
        "unusableHome",
        `${record} does not hold what MiniMCP wrote there. Restore it from a backup.`,
      );
    }
    const base = join(closedHomeRoot, known);
    if (await isPresent(base)) return base;
    throw new EmbeddedPostgresFailure(
      "unusableHome",
      `The database of ${home} was in ${base}, which is gone. Restore it, or delete ${record} to begin with an empty one.`,
    );
  }
  if (await isOpenToOthers(home)) return inHome;
  // Random, not made from the path: a new home at the place of a deleted one must not meet the old one's data.
  const name = randomBytes(6).toString("hex");
  await makeDirectory(closedHomeRoot, { mode: 0o711 });
  if (!(await isOpenToOthers(closedHomeRoot))) {
    throw new EmbeddedPostgresFailure(
      "unusableHome",
      `Neither ${home} nor ${closedHomeRoot} can be reached by the unprivileged user that PostgreSQL runs as. Choose a MINIMCP_HOME whose parent directories let others pass (chmod o+x).`,
    );
  }
  await makeDirectory(join(closedHomeRoot, name), { mode: 0o700 });
  await writeFile(record, `${name}\n`, { mode: 0o600, flag: "wx" });
  return join(closedHomeRoot, name);
}

/** The directory around the data: nobody but root and the server's group passes through it. */
export async function prepareBaseDirectory(
  base: string,
  home: string,
  accounts: ServerAccounts | undefined,
): Promise<void> {
  await makeDirectory(base, accounts ? { mode: 0o710, gid: accounts.server.gid } : { mode: 0o700 });
  // Tells whoever cleans up there whose data this is.
  if (dirname(base) !== home) await writeFile(join(base, "home"), `${home}\n`, { mode: 0o600 });
}

/**
 * The socket's directory, emptied. Its mode is the guard: whoever can enter it may try passwords. For a server of its
 * own user that is this user's group and root, which needs no capability for it.
 */
export async function prepareSocketDirectory(
  base: string,
  runtimeDirectory: string,
  accounts: ServerAccounts | undefined,
): Promise<string> {
  const inBase = join(base, "socket");
  let directory = inBase;
  if (socketPathBytes(inBase) > maxSocketPathBytes) {
    await makeDirectory(runtimeDirectory, { mode: accounts ? 0o711 : 0o700 });
    directory = join(runtimeDirectory, `db-${createHash("sha256").update(base).digest("hex").slice(0, 12)}`);
    if (socketPathBytes(directory) > maxSocketPathBytes) {
      throw new EmbeddedPostgresFailure(
        "unusableHome",
        `The runtime directory ${runtimeDirectory} has too long a path for a Unix socket. Choose a shorter one.`,
      );
    }
  }
  await makeDirectory(directory, accounts ? { mode: 0o770, gid: accounts.server.gid } : { mode: 0o700 });
  // Only this home's server uses this directory and it is not running, so what is left is stale. PostgreSQL would not
  // touch a lock whose process id is in use again.
  for (const name of [`.s.PGSQL.${socketPort}`, `.s.PGSQL.${socketPort}.lock`]) {
    await rm(join(directory, name), { force: true });
  }
  return directory;
}

/**
 * The owner's password.
 *
 * @throws EmbeddedPostgresFailure `unusableHome` where there is none: it belongs to an existing database.
 */
export async function readOwnerPassword(home: string): Promise<string> {
  const path = ownerPasswordPath(home);
  const password = await readIfPresent(path);
  if (password !== undefined) return password.trim();
  throw new EmbeddedPostgresFailure(
    "unusableHome",
    `${path} is missing, and without it the database cannot be opened. Restore it from the backup that belongs to this database.`,
  );
}

/** Makes the password of a database that is about to be created: 256 random bits, 0600. */
export async function createOwnerPassword(home: string): Promise<string> {
  const password = randomBytes(32).toString("base64url");
  // Under a name of its own first: what is in place is whole. It replaces that of a first start that was cut short.
  const temporary = `${ownerPasswordPath(home)}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, `${password}\n`, { mode: 0o600, flag: "wx" });
  await rename(temporary, ownerPasswordPath(home));
  return password;
}

export function ownerPasswordPath(home: string): string {
  return join(home, "secrets", "database-owner-password");
}

function socketPathBytes(directory: string): number {
  return Buffer.byteLength(join(directory, `.s.PGSQL.${socketPort}`));
}

async function readIfPresent(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  });
}
