import { spawn, type ChildProcess } from "node:child_process";
import { open, readFile, rename, stat, type FileHandle } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { buildDatabaseUrl } from "../database-url.ts";
import { DatabaseUnavailable } from "../errors.ts";
import { withSingleConnection } from "../schema-state.ts";
import { chooseServerAccounts, type ServerAccounts } from "./accounts.ts";
import { locateBinaries, makeBinariesReadable } from "./binaries.ts";
import { createCluster, handOver, ownerRole, productDatabase } from "./create-cluster.ts";
import { describe, ownUid } from "./directories.ts";
import { lockExclusively } from "./exclusive-lock.ts";
import { EmbeddedPostgresFailure } from "./failure.ts";
import {
  chooseBaseDirectory,
  ownerPasswordPath,
  prepareBaseDirectory,
  prepareHome,
  prepareSocketDirectory,
  readOwnerPassword,
  socketPort,
} from "./placement.ts";
import {
  claimDataDirectory,
  readPostmasterFile,
  retireFormerServer,
  stopServer,
  waitUntil,
} from "./postmaster.ts";
import { programEnvironment } from "./run-program.ts";

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
}

export interface EmbeddedPostgres extends AsyncDisposable {
  /** URL of `minimcp_owner`, who owns the database `minimcp` and may create roles and databases, and is no superuser. */
  ownerUrl(database?: string): string;
  socketDirectory: string;
  dataDirectory: string;
  /** Whether this start created the database. */
  created: boolean;
  /** Resolves when the server has ended, for whatever reason. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Fast shutdown, then an immediate one. Safe to call twice. @throws {EmbeddedPostgresFailure} `cannotStop`. */
  stop(): Promise<void>;
}

const supportedMajorVersion = "18";
const maxLogBytes = 10 * 1024 * 1024;

/**
 * Starts the home's own PostgreSQL and creates it first where there is none. It listens on a Unix socket only.
 *
 * The server outlives a supervisor that is killed, so that nothing is lost with it; the next start ends it in an orderly
 * way and takes its place. As root it runs as a user of its own.
 *
 * @throws {EmbeddedPostgresFailure} with what to do.
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

  const ownerPassword = await readOwnerPassword(home);
  const version = await readClusterVersion(dataDirectory);
  if (version === undefined) {
    log(`creating the database in ${base}`);
    const sync = options.settings?.["fsync"] !== "off";
    await createCluster({ dataDirectory, binaries, accounts, ownerPassword, sync, signal });
  } else if (version !== supportedMajorVersion) {
    throw new EmbeddedPostgresFailure(
      "otherVersion",
      `The data in ${dataDirectory} belongs to PostgreSQL ${version}; this version of MiniMCP brings PostgreSQL ${supportedMajorVersion}. Start the version of MiniMCP that wrote it, or restore a backup into an empty home.`,
    );
  } else if (await retireFormerServer(dataDirectory, stopTimeoutMs)) {
    log("ended the database server that an earlier start had left running");
  }
  await using serverLock = await claimDataDirectory(base, dataDirectory, signal);
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
  const server = await launch({
    program: binaries.postgres,
    args: ["-D", dataDirectory, ...buildSettings(socketDirectory, options.settings)],
    accounts,
    dataDirectory,
    lock: serverLock,
    logPath: join(base, "server.log"),
    startTimeoutMs,
    signal,
  });
  const stop = async (): Promise<void> => {
    if (server.process.exitCode !== null || server.process.signalCode !== null) return;
    await stopServer({
      signal: (name) => server.process.kill(name),
      hasEnded: (timeoutMs) => endsWithin(server.exited, timeoutMs),
      stopTimeoutMs,
    });
  };
  startup.defer(stop);
  await proveOwnerSignsIn(ownerUrl(), home);

  // From here on the caller owns the server, and the lock lasts as long as it.
  const acquired = startup.move();
  const released = server.exited.then(async (exit) => {
    await acquired.disposeAsync();
    return exit;
  });
  let stopping: Promise<void> | undefined;
  const stopOnce = (): Promise<void> => (stopping ??= stop().then(() => acquired.disposeAsync()));
  return {
    ownerUrl,
    socketDirectory,
    dataDirectory,
    created: version === undefined,
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

async function readClusterVersion(dataDirectory: string): Promise<string | undefined> {
  return readFile(join(dataDirectory, "PG_VERSION"), "utf8").then(
    (text) => text.trim(),
    (error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    },
  );
}

/** A home copied back by root, from a backup, belongs to root at first. */
async function correctOwner(dataDirectory: string, accounts: ServerAccounts | undefined): Promise<void> {
  if (accounts && (await stat(dataDirectory)).uid !== accounts.server.uid)
    await handOver(dataDirectory, accounts.server);
}

/**
 * Given on the command line at every start, so that they are this version's and a file from an earlier one cannot
 * disagree.
 */
function buildSettings(socketDirectory: string, more: Readonly<Record<string, string>> = {}): string[] {
  const settings = {
    listen_addresses: "",
    port: String(socketPort),
    // A list of paths: the quotes keep a comma or a blank within this one.
    unix_socket_directories: `"${socketDirectory}"`,
    unix_socket_permissions: "0777",
    timezone: "UTC",
    log_timezone: "UTC",
    log_line_prefix: "%m [%p] %a ",
    log_checkpoints: "off",
    // Leaves out DETAIL, which quotes the values of a row.
    log_error_verbosity: "terse",
    ...more,
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

type ServerExit = Awaited<EmbeddedPostgres["exited"]>;

interface RunningServer {
  process: ChildProcess;
  exited: Promise<ServerExit>;
}

async function launch(options: {
  program: string;
  args: string[];
  accounts: ServerAccounts | undefined;
  dataDirectory: string;
  /** Inherited by the server and its backends. */
  lock: FileHandle;
  logPath: string;
  startTimeoutMs: number;
  signal: AbortSignal | undefined;
}): Promise<RunningServer> {
  // A file, not a pipe to us: the server must be able to outlive us.
  await using logFile = await openLog(options.logPath);
  const { size: logStart } = await logFile.stat();
  const child = spawn(options.program, options.args, {
    cwd: "/",
    env: programEnvironment,
    stdio: ["ignore", logFile.fd, logFile.fd, options.lock.fd],
    // A session of its own: Ctrl-C reaches the supervisor, which ends the processes in order, the database last.
    detached: true,
    ...options.accounts?.server,
  });
  const exit = Promise.withResolvers<ServerExit>();
  child.once("exit", (code, signal) => exit.resolve({ code, signal }));
  child.once("error", exit.reject);

  const polling = new AbortController();
  const isReady = async (): Promise<boolean> => {
    const file = await readPostmasterFile(options.dataDirectory);
    return file?.pid === child.pid && file?.status === "ready";
  };
  try {
    const ready = await Promise.race([
      waitUntil(isReady, options.startTimeoutMs, anySignal(polling.signal, options.signal)),
      exit.promise.then(() => false),
    ]);
    if (ready) return { process: child, exited: exit.promise };
  } catch (error) {
    child.kill("SIGQUIT");
    options.signal?.throwIfAborted();
    throw new EmbeddedPostgresFailure(
      "cannotStart",
      `PostgreSQL cannot be run (${options.program}): ${describe(error)}.`,
      {
        cause: error,
      },
    );
  } finally {
    polling.abort();
  }
  child.kill("SIGQUIT");
  const said = (await readFile(options.logPath)).subarray(logStart).toString().trim();
  throw new EmbeddedPostgresFailure(
    "cannotStart",
    `PostgreSQL did not start. Its log, ${options.logPath}, says:\n${said.split("\n").slice(-8).join("\n")}`,
  );
}

function anySignal(own: AbortSignal, given: AbortSignal | undefined): AbortSignal {
  return given ? AbortSignal.any([own, given]) : own;
}

async function openLog(path: string): Promise<FileHandle> {
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size > maxLogBytes) await rename(path, `${path}.1`);
  return open(path, "a", 0o600);
}

async function proveOwnerSignsIn(url: string, home: string): Promise<void> {
  try {
    await withSingleConnection({ url, applicationName: "minimcp start" }, (client) =>
      client.query("select 1"),
    );
  } catch (error) {
    if (!(error instanceof DatabaseUnavailable)) throw error;
    throw new EmbeddedPostgresFailure(
      "cannotStart",
      `The database runs, but the password in ${ownerPasswordPath(home)} does not open it. Restore that file from the backup that belongs to this database.`,
      { cause: error },
    );
  }
}

async function endsWithin(exited: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    return await Promise.race([exited.then(() => true), delay(timeoutMs, false, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
