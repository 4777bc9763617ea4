import { mkdir, readFile, realpath, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { isolationLevels } from "@minimcp/core";
import {
  type IsolationLevel,
  meetsLevel,
  openPool,
  type Pool,
  PoolError,
  type PoolEvent,
} from "@minimcp/pool";
import type { Logger } from "pino";

import type { WorkerConfig } from "./env.ts";
import { openInUsableDirectory } from "./usable-runtime-directory.ts";

/**
 * Opens the process pool of a node. Where no minimum is set, a home keeps the best level it has run at as its own: a
 * sandbox that is gone, after an upgrade or under another user, must be noticed and not worked without.
 * @throws PoolError `isolationUnavailable` when the host stays below the minimum level
 */
export async function openNodePool(config: WorkerConfig, log: Logger): Promise<Pool> {
  const reached = await readReachedLevel(config.MINIMCP_HOME);
  const ownMinimum = config.MINIMCP_MODE === "production" ? "strict" : (reached ?? "none");
  const pool = await openInUsableDirectory(config, (host) =>
    openPool({
      ...host,
      minimumLevel: config.MINIMUM_ISOLATION ?? ownMinimum,
      concurrency: config.WORKER_CONCURRENCY,
      log: (event) => report(event, log),
    }),
  ).catch((error: unknown) => {
    throw config.MINIMUM_ISOLATION === undefined ? explainLowered(error, reached) : error;
  });
  const { level } = pool.isolation;
  try {
    await refuseVisibleHome(config.MINIMCP_HOME, level);
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
  if (reached === null || !meetsLevel(reached, level)) await writeReachedLevel(config.MINIMCP_HOME, level);
  return pool;
}

/**
 * Every sandbox shows its server the host's /usr, and at `contained` the server runs under the user to whom the home
 * belongs: there it would read the secrets in it, and reach the sockets.
 * @throws PoolError `isolationUnavailable`
 */
export async function refuseVisibleHome(home: string, level: IsolationLevel): Promise<void> {
  if (level !== "contained") return;
  await mkdir(home, { recursive: true });
  if (!(await realpath(home)).startsWith("/usr/")) return;
  throw new PoolError(
    "isolationUnavailable",
    `The home ${home} lies below /usr, which every sandbox shows to its server: it could read your secrets there. Choose another MINIMCP_HOME.`,
  );
}

function explainLowered(error: unknown, reached: IsolationLevel | null): unknown {
  if (!(error instanceof PoolError) || error.reason !== "isolationUnavailable" || reached === null)
    return error;
  return new PoolError(
    error.reason,
    `${error.message} This installation has run at ${reached} before; to go on with less, set MINIMUM_ISOLATION to that level.`,
    { cause: error },
  );
}

/** What the operator of a node should know of its pool. */
function report(event: PoolEvent, log: Logger): void {
  if (event.kind === "cleanupFailed") {
    log.error({ err: event.error, instanceId: event.id }, "something of an instance was left behind");
  } else log.debug({ event }, "pool");
}

function levelFile(home: string): string {
  return join(home, "isolation");
}

async function readReachedLevel(home: string): Promise<IsolationLevel | null> {
  try {
    const text = (await readFile(levelFile(home), "utf8")).trim();
    return isolationLevels.find((level) => level === text) ?? null;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

async function writeReachedLevel(home: string, level: IsolationLevel): Promise<void> {
  await mkdir(home, { recursive: true });
  const draft = `${levelFile(home)}.${process.pid}`;
  await writeFile(draft, `${level}\n`, { mode: 0o600 });
  await rename(draft, levelFile(home));
}
