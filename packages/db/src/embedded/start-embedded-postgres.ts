import { readFile, stat, type FileHandle } from "node:fs/promises";
import { join, resolve } from "node:path";

import { DatabaseError } from "pg";

import { buildDatabaseUrl } from "../database-url.ts";
import { DatabaseUnavailable } from "../errors.ts";
import { withSingleConnection } from "../single-connection.ts";
import { chooseServerAccounts, type ServerAccounts } from "./accounts.ts";
import { locateBinaries, makeBinariesReadable } from "./binaries.ts";
import { createCluster, handOver, ownerRole, productDatabase } from "./create-cluster.ts";
import { isPresent, ownUid } from "./directories.ts";
import { lockExclusively } from "./exclusive-lock.ts";
import { EmbeddedPostgresFailure } from "./failure.ts";
import { buildSettings, launchServer, type ServerExit } from "./launch-server.ts";
import {
  chooseBaseDirectory,
  createOwnerPassword,
  ownerPasswordPath,
  prepareBaseDirectory,
  prepareHome,
  prepareSocketDirectory,
  readOwnerPassword,
  socketPort,
} from "./placement.ts";
import { claimDataDirectory, retireFormerServer } from "./postmaster.ts";

export interface EmbeddedPostgresOptions {
  /** MiniMCP's home (`MINIMCP_HOME`); created if missing. */
  home: string;
  /** One line for each thing worth telling the person who starts the product. */
  log?: ((message: string) => void) | undefined;
  /** Gives up starting. A server that runs is ended by `stop`. */
  signal?: AbortSignal | undefined;
  /** Where the socket goes when the home's path is too long for one. Default `/tmp/minimcp-<uid>`. */
  runtimeDirectory?: string | undefined;
  /** As root: where data and programs go that the server's user cannot reach otherwise. Default `/var/lib/minimcp`. */
  closedHomeRoot?: string | undefined;
  /** Start, including crash recovery. Default 60,000. */
  startTimeoutMs?: number | undefined;
  /** Fast shutdown, before it turns into an immediate one. Default 30,000. */
  stopTimeoutMs?: number | undefined;
  /** More server settings; tests turn `fsync` off. */
  settings?: Readonly<Record<string, string>> | undefined;
  /** More of the environment of the server, for its whole life; tests move its clock with it. */
  environment?: Readonly<Record<string, string>> | undefined;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  /** URL of `minimcp_owner`, who owns the database `minimcp` and may create roles and databases, and is no superuser. */
  ownerUrl(database?: string): string;
  socketDirectory: string;
  dataDirectory: string;
  /** Whether this start created the database. */
  created: boolean;
  /** Resolves when the server has ended, for whatever reason. */
  exited: Promise<ServerExit>;
  /** Fast shutdown, then an immediate one. Safe to call twice. @throws EmbeddedPostgresFailure `cannotStop`. */
  stop(): Promise<void>;
}

const supportedMajorVersion = "18";

/**
 * Starts the home's own PostgreSQL and creates it first where there is none. It listens on a Unix socket only.
 *
 * The server outlives a supervisor that is killed, so that nothing is lost with it; the next start ends it in an orderly
 * way and takes its place. As root it runs as a user of its own.
 *
 * @throws EmbeddedPostgresFailure with what to do.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log = () => undefined, signal, startTimeoutMs = 60_000, stopTimeoutMs = 30_000 } = options;
  const uid = ownUid();
  const closedHomeRoot = resolve(options.closedHomeRoot ?? "/var/lib/minimcp");
  const runtimeDirectory = resolve(options.runtimeDirectory ?? `/tmp/minimcp-${uid}`);
  const home = await prepareHome(resolve(options.home));

  await using startup = new AsyncDisposableStack();
  startup.use(await takeLock(home));
  const base = await chooseBaseDirectory(home, closedHomeRoot);
  const dataDirectory = join(base, "data");
  const accounts = uid === 0 ? await chooseServerAccounts(dataDirectory) : undefined;
  const located = await locateBinaries();
  const binaries = accounts ? await makeBinariesReadable(located, closedHomeRoot) : located;
  await prepareBaseDirectory(base, home, accounts);

  const version = await readClusterVersion(dataDirectory);
  if (version !== undefined && version !== supportedMajorVersion) {
    throw new EmbeddedPostgresFailure(
      "otherVersion",
      `The data in ${dataDirectory} belongs to PostgreSQL ${version}; this version of MiniMCP brings PostgreSQL ${supportedMajorVersion}. Start the version of MiniMCP that wrote it, or restore a backup into an empty home.`,
    );
  }
  if (await retireFormerServer(dataDirectory, stopTimeoutMs)) {
    log("ended the database server that an earlier start had left running");
  }
  await using serverLock = await claimDataDirectory(base, dataDirectory, signal);
  const created = version === undefined;
  const ownerPassword = created ? await createOwnerPassword(home) : await readOwnerPassword(home);
  if (created) {
    log(`creating the database in ${base}`);
    const sync = options.settings?.["fsync"] !== "off";
    await createCluster({ dataDirectory, lock: serverLock, binaries, accounts, ownerPassword, sync, signal });
  }
  await correctOwner(dataDirectory, accounts);
  const socketDirectory = await prepareSocketDirectory(base, runtimeDirectory, accounts);

  const ownerUrl = (database = productDatabase): string =>
    buildDatabaseUrl({
      host: socketDirectory,
      port: socketPort,
      user: ownerRole,
      password: ownerPassword,
      database,
    });
  const server = await launchServer({
    program: binaries.postgres,
    args: ["-D", dataDirectory, ...buildSettings(socketDirectory, options.settings)],
    environment: options.environment,
    accounts,
    dataDirectory,
    lock: serverLock,
    logPath: join(base, "server.log"),
    startTimeoutMs,
    signal,
  });
  startup.defer(() => server.stop(stopTimeoutMs));
  await proveOwnerSignsIn(ownerUrl(), home);

  // From here on the caller owns the server, and the lock lasts as long as it.
  const acquired = startup.move();
  const released = server.exited.then(async (exit) => {
    await acquired.disposeAsync();
    return exit;
  });
  let stopping: Promise<void> | undefined;
  async function stop(): Promise<void> {
    await server.stop(stopTimeoutMs);
    await released;
  }
  const stopOnce = (): Promise<void> => (stopping ??= stop());
  return {
    ownerUrl,
    socketDirectory,
    dataDirectory,
    created,
    exited: released,
    stop: stopOnce,
    [Symbol.asyncDispose]: stopOnce,
  };
}

async function takeLock(home: string): Promise<FileHandle> {
  const lock = await lockExclusively(join(home, "database.lock"));
  if (!("heldBy" in lock)) return lock;
  throw new EmbeddedPostgresFailure(
    "inUse",
    `Process ${lock.heldBy} already runs the database of ${home}. Stop it with \`minimcp stop\`, or choose another MINIMCP_HOME.`,
  );
}

/** @returns nothing where there is no cluster yet. */
async function readClusterVersion(dataDirectory: string): Promise<string | undefined> {
  if (!(await isPresent(dataDirectory))) return undefined;
  const path = join(dataDirectory, "PG_VERSION");
  if (await isPresent(path)) return (await readFile(path, "utf8")).trim();
  // Never taken for an empty place: a mount that is missing, or data that lost a file, is not to be built over.
  throw new EmbeddedPostgresFailure(
    "unusableHome",
    `${dataDirectory} exists, but holds no database of PostgreSQL. Restore it from a backup, or move it away to begin with an empty one.`,
  );
}

/** A home copied back by root, from a backup, belongs to root at first. */
async function correctOwner(dataDirectory: string, accounts: ServerAccounts | undefined): Promise<void> {
  if (accounts && (await stat(dataDirectory)).uid !== accounts.server.uid)
    await handOver(dataDirectory, accounts.server);
}

async function proveOwnerSignsIn(url: string, home: string): Promise<void> {
  try {
    await withSingleConnection({ url, applicationName: "minimcp start" }, (client) =>
      client.query("select 1"),
    );
  } catch (error) {
    const refused = error instanceof DatabaseUnavailable && error.cause instanceof DatabaseError;
    throw new EmbeddedPostgresFailure(
      "cannotStart",
      refused
        ? `The database runs, but the password in ${ownerPasswordPath(home)} does not open it. Restore that file from the backup that belongs to this database.`
        : "The database runs, but does not answer on its socket.",
      { cause: error },
    );
  }
}
