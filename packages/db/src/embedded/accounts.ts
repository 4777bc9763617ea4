import { readFile, stat } from "node:fs/promises";

import { EmbeddedPostgresFailure } from "./failure.ts";
import type { Identity } from "./run-program.ts";

/** systemd's documentation of user ids lists 60706 to 61183 as used by nobody; the first of ours that is free is taken. */
const firstServerUid = 61_000;
const lastServerUid = 61_099;

export interface ServerAccounts {
  /** As whom the server runs and who owns the data. */
  server: Identity;
  /** As whom a new cluster is built, because initdb insists on a user with a name. */
  builder: Identity;
}

/**
 * PostgreSQL refuses to run as root. It does run as a uid without an account, so none is created: nothing is installed
 * on the system, and no other program shares the data's uid, as would be with `nobody` or a system's own `postgres`.
 *
 * Only initdb looks its user's name up. It builds the cluster as `nobody`, but in the server's group, within a
 * directory that only this group can enter (and the kernel lets no process of another group trace it); the files are
 * handed over to the server's uid before it first starts.
 *
 * @param dataDirectory where it exists already, its owner stays the server's uid.
 */
export async function chooseServerAccounts(dataDirectory: string): Promise<ServerAccounts> {
  const accounts = (await readFile("/etc/passwd", "utf8")).split("\n").flatMap((line) => {
    const [name, , uid] = line.split(":");
    return name && uid ? [{ name, uid: Number(uid) }] : [];
  });
  const builder = accounts.find(({ name }) => name === "nobody") ?? accounts.find(({ uid }) => uid !== 0);
  const existing = await stat(dataDirectory).catch(() => undefined);
  // Root's, when it was copied back from a backup: then it is handed over like a new one.
  const uid =
    existing && existing.uid !== 0
      ? existing.uid
      : findFreeUid(new Set(accounts.map((account) => account.uid)));
  if (!builder || uid === undefined) {
    throw new EmbeddedPostgresFailure(
      "cannotInitialise",
      "PostgreSQL refuses to run as root, and /etc/passwd offers no unprivileged user to prepare it. Start MiniMCP as an ordinary user, or set DATABASE_URL to a server of your own.",
    );
  }
  return { server: { uid, gid: uid }, builder: { uid: builder.uid, gid: uid } };
}

function findFreeUid(taken: ReadonlySet<number>): number | undefined {
  for (let uid = firstServerUid; uid <= lastServerUid; uid += 1) {
    if (!taken.has(uid)) return uid;
  }
  return undefined;
}
