import { spawn, type ChildProcess } from "node:child_process";
import { open, readFile, rename, stat, type FileHandle } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import type { ServerAccounts } from "./accounts.ts";
import { cannotRun, EmbeddedPostgresFailure } from "./failure.ts";
import { socketPort } from "./placement.ts";
import { readPostmasterFile, stopServer, waitUntil } from "./postmaster.ts";
import { programEnvironment } from "./run-program.ts";

const maxLogBytes = 10 * 1024 * 1024;

/**
 * Given on the command line at every start, so that they are this version's and a file from an earlier one cannot
 * disagree.
 */
export function buildSettings(
  socketDirectory: string,
  more: Readonly<Record<string, string>> = {},
): string[] {
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

export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RunningServer {
  /** Resolves when the server has ended, for whatever reason. */
  exited: Promise<ServerExit>;
  /** Fast shutdown, then an immediate one; nothing where it has ended. @throws EmbeddedPostgresFailure `cannotStop`. */
  stop(stopTimeoutMs: number): Promise<void>;
}

/**
 * Starts the server and waits until it takes connections.
 *
 * @throws EmbeddedPostgresFailure `cannotStart`.
 */
export async function launchServer(options: {
  program: string;
  args: string[];
  environment: Readonly<Record<string, string>> | undefined;
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
    env: { ...programEnvironment, ...options.environment },
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
    if (ready) return superviseServer(child, exit.promise);
  } catch (error) {
    child.kill("SIGQUIT");
    options.signal?.throwIfAborted();
    throw cannotRun(options.program, error);
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

function superviseServer(child: ChildProcess, exited: Promise<ServerExit>): RunningServer {
  return {
    exited,
    stop: async (stopTimeoutMs) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      await stopServer({
        signal: (name) => child.kill(name),
        hasEnded: (timeoutMs) => endsWithin(exited, timeoutMs),
        stopTimeoutMs,
      });
    },
  };
}

function anySignal(own: AbortSignal, given: AbortSignal | undefined): AbortSignal {
  return given ? AbortSignal.any([own, given]) : own;
}

async function openLog(path: string): Promise<FileHandle> {
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size > maxLogBytes) await rename(path, `${path}.1`);
  return open(path, "a", 0o600);
}

async function endsWithin(exited: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    return await Promise.race([exited.then(() => true), delay(timeoutMs, false, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
