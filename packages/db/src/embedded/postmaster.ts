import { readFile, readlink, realpath, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { lockExclusively } from "./exclusive-lock.ts";
import { EmbeddedPostgresFailure } from "./failure.ts";
import { hasCode } from "./has-code.ts";
import { runProgram } from "./run-program.ts";

/** What a running server writes into its data directory (PostgreSQL: miscadmin.h, LOCK_FILE_LINE_*). */
export interface PostmasterFile {
  pid: number;
  /** `starting`, `ready`, `standby` or `stopping`; empty in the first instants. */
  status: string;
}

const pollMs = 25;
/** The backends of a killed server notice within moments; one in the midst of a long loop, or an initdb, takes longer. */
const claimTimeoutMs = 30_000;
/** After SIGQUIT the server kills its own children within five seconds. */
const quitTimeoutMs = 10_000;

export async function readPostmasterFile(dataDirectory: string): Promise<PostmasterFile | undefined> {
  let lines: string[];
  try {
    lines = (await readFile(postmasterFilePath(dataDirectory), "utf8")).split("\n");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
  const pid = Number(lines[0]);
  return Number.isInteger(pid) && pid > 0 ? { pid, status: lines[7]?.trim() ?? "" } : undefined;
}

/**
 * Ends the server that an earlier, killed supervisor left running on this directory, so that the next one runs with this
 * version's programs and settings and as a child that can be watched.
 *
 * A process is only signalled after it has been recognised: ids are used again, and after a reboot the one in the file
 * may be anybody's.
 *
 * @returns whether there was one.
 * @throws EmbeddedPostgresFailure `cannotStop`.
 */
export async function retireFormerServer(dataDirectory: string, stopTimeoutMs: number): Promise<boolean> {
  const file = await readPostmasterFile(dataDirectory);
  if (!file) return false;
  if (!(await isServerOf(file.pid, dataDirectory))) return false;
  await stopServer({
    signal: (name) => signalIfAlive(file.pid, name),
    hasEnded: (timeoutMs) => waitUntil(async () => !(await isServerOf(file.pid, dataDirectory)), timeoutMs),
    stopTimeoutMs,
  });
  return true;
}

/**
 * Waits until no process of an earlier server is left, and keeps it so: every server inherits this lock, and so do the
 * backends it forks and the programs that build a cluster. It also tells of servers that no process id can tell of, as in another container on the same volume.
 *
 * @throws EmbeddedPostgresFailure `inUse`.
 */
export async function claimDataDirectory(
  base: string,
  dataDirectory: string,
  signal?: AbortSignal,
): Promise<FileHandle> {
  let lock: FileHandle | undefined;
  await waitUntil(
    async () => {
      const taken = await lockExclusively(join(base, "server.lock"));
      if (!("heldBy" in taken)) lock = taken;
      return lock !== undefined;
    },
    claimTimeoutMs,
    signal,
  );
  if (!lock) {
    throw new EmbeddedPostgresFailure(
      "inUse",
      `Another server still works on ${dataDirectory}, perhaps in another container. End it, or choose another MINIMCP_HOME.`,
    );
  }
  // PostgreSQL gets over the file of a dead process, but not when some other program has its id by now: then it asks a
  // human to remove the file. Under the lock that is certain to be right.
  await rm(postmasterFilePath(dataDirectory), { force: true });
  return lock;
}

/**
 * Fast shutdown (SIGINT: sessions are ended, everything is written), then immediate shutdown (SIGQUIT: the next start
 * recovers from the log). Never SIGKILL, which would leave the server's own children behind.
 *
 * @throws EmbeddedPostgresFailure `cannotStop`.
 */
export async function stopServer(server: {
  signal: (name: "SIGINT" | "SIGQUIT") => unknown;
  hasEnded: (timeoutMs: number) => Promise<boolean>;
  stopTimeoutMs: number;
}): Promise<void> {
  server.signal("SIGINT");
  if (await server.hasEnded(server.stopTimeoutMs)) return;
  server.signal("SIGQUIT");
  if (await server.hasEnded(quitTimeoutMs)) return;
  throw new EmbeddedPostgresFailure(
    "cannotStop",
    "PostgreSQL does not stop, although it was told to. Look for a disk that hangs.",
  );
}

/** Polls until the condition holds. @returns whether it held in time. */
export async function waitUntil(
  condition: () => Promise<boolean>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await delay(pollMs, undefined, { signal });
  }
  return true;
}

/** Whether this process is the PostgreSQL server of this very directory: that is where it works (`chdir` at its start). */
async function isServerOf(pid: number, dataDirectory: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  if (process.platform === "linux") {
    try {
      const [directory, name] = await Promise.all([
        readlink(`/proc/${pid}/cwd`),
        readFile(`/proc/${pid}/comm`, "utf8"),
      ]);
      return directory === (await realpath(dataDirectory)) && name.trim() === "postgres";
    } catch {
      // Gone, or another user's, and then it is not ours.
      return false;
    }
  }
  const { output } = await runProgram("/bin/ps", ["-o", "command=", "-p", String(pid)], { timeoutMs: 5_000 });
  return output.includes("/postgres ") && output.includes(` ${dataDirectory} `);
}

function isAlive(pid: number): boolean {
  return signalIfAlive(pid, 0);
}

/** @returns whether there is such a process, be it ours or not. */
function signalIfAlive(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}

function postmasterFilePath(dataDirectory: string): string {
  return join(dataDirectory, "postmaster.pid");
}
