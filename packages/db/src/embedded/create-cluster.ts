import {
  chmod,
  lchown,
  mkdtemp,
  open,
  readdir,
  rename,
  rm,
  writeFile,
  type FileHandle,
} from "node:fs/promises";
import { dirname, join } from "node:path";

import { computeScramVerifier } from "../scram-verifier.ts";
import type { ServerAccounts } from "./accounts.ts";
import type { Binaries } from "./binaries.ts";
import { cannotRun, EmbeddedPostgresFailure } from "./failure.ts";
import { runProgram } from "./run-program.ts";

export const ownerRole = "minimcp_owner";
export const productDatabase = "minimcp";

const initialising = "initialising-";
const timeoutMs = 120_000;

/**
 * Who may connect: every role of the product, by password, through the socket. The superuser, nobody: it exists because
 * a cluster must have one, has no password, and is refused here.
 */
const hostBasedAuthentication = `local all postgres reject
local all all scram-sha-256
`;

/**
 * Builds a new cluster next to `dataDirectory` and moves it there when it is complete, so that a build that was
 * interrupted leaves nothing that looks like a database.
 *
 * The owner and its database are made in PostgreSQL's single-user mode: no server, no socket, and no password of the
 * superuser is needed for it.
 *
 * @throws EmbeddedPostgresFailure `cannotInitialise`.
 */
export async function createCluster(options: {
  dataDirectory: string;
  /** Inherited by the builder's programs, so that the next start waits for those that outlive a killed one. */
  lock: FileHandle;
  binaries: Binaries;
  /** Nothing when the server runs as ourselves. */
  accounts: ServerAccounts | undefined;
  ownerPassword: string;
  /** Whether the files are forced to disk; off only for tests. */
  sync: boolean;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { dataDirectory, lock, binaries, accounts, signal } = options;
  const parent = dirname(dataDirectory);
  await removeUnfinished(parent);
  const workshop = await mkdtemp(join(parent, initialising));
  const cluster = join(workshop, "data");
  const run = async (program: string, args: string[], input = ""): Promise<void> => {
    const { code, output } = await runProgram(program, args, {
      identity: accounts?.builder,
      descriptor: lock.fd,
      input,
      timeoutMs,
      signal,
    }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw cannotRun(program, error);
    });
    if (code !== 0)
      throw new EmbeddedPostgresFailure("cannotInitialise", explainFailedInitialisation(output));
  };
  try {
    if (accounts) await handOver(workshop, accounts.builder);
    await run(binaries.initdb, [
      `--pgdata=${cluster}`,
      "--username=postgres",
      "--auth=reject",
      "--data-checksums",
      "--encoding=UTF8",
      // Sorts by code point and knows Unicode's letters, from PostgreSQL itself: an index stays valid when the system's
      // C library, or the machine, changes.
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--locale=C",
      "--no-instructions",
      ...(options.sync ? [] : ["--no-sync"]),
    ]);
    const verifier = await computeScramVerifier(options.ownerPassword);
    await run(
      binaries.postgres,
      ["--single", "-D", cluster, "-c", "exit_on_error=on", "-c", "log_checkpoints=off", "postgres"],
      // One statement a line; the verifier is base64 and cannot break out of its quotes.
      `create role ${ownerRole} login createrole createdb password '${verifier}'\ncreate database ${productDatabase} owner ${ownerRole}\n`,
    );
    await writeFile(join(cluster, "pg_hba.conf"), hostBasedAuthentication);
    if (accounts) await handOver(cluster, accounts.server);
    await rename(cluster, dataDirectory);
    await syncDirectory(parent);
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

/** Gives a tree to another user. Links themselves change hands, never what they point to. */
export async function handOver(directory: string, to: { uid: number; gid: number }): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    await lchown(join(entry.parentPath, entry.name), to.uid, to.gid);
  }
  await lchown(directory, to.uid, to.gid);
  await chmod(directory, 0o700);
}

async function removeUnfinished(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (name.startsWith(initialising)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** Makes a rename durable. */
async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}

function explainFailedInitialisation(output: string): string {
  const said = output.trim().split("\n").slice(-5).join("\n");
  if (output.includes("could not look up effective user ID")) {
    return `PostgreSQL wants its user to have a name, and this user id has no line in /etc/passwd. Add one, start as another user, or set DATABASE_URL to a server of your own.\n${said}`;
  }
  return `A new database could not be prepared. PostgreSQL says:\n${said}`;
}
