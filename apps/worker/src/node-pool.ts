import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { isolationLevels } from "@minimcp/core";
import { type IsolationLevel, meetsLevel, openPool, type Pool, PoolError } from "@minimcp/pool";
import type { Logger } from "pino";

import type { WorkerConfig } from "./env.ts";

/**
 * Opens the process pool of a node. Where no minimum is set, a home keeps the best level it has run at as its own: a
 * sandbox that is gone, after an upgrade or under another user, must be noticed and not worked without.
 * @throws PoolError `isolationUnavailable` when the host stays below the minimum level
 */
export async function openNodePool(config: WorkerConfig, log: Logger): Promise<Pool> {
  const reached = await readReachedLevel(config.MINIMCP_HOME);
  const ownMinimum = config.MINIMCP_MODE === "production" ? "strict" : (reached ?? "none");
  const pool = await openPoolSomewhere(config, config.MINIMUM_ISOLATION ?? ownMinimum, log).catch(
    (error: unknown) => {
      throw config.MINIMUM_ISOLATION === undefined ? explainLowered(error, reached) : error;
    },
  );
  const { level } = pool.isolation;
  if (reached === null || !meetsLevel(reached, level)) await writeReachedLevel(config.MINIMCP_HOME, level);
  return pool;
}

function explainLowered(error: unknown, reached: IsolationLevel | null): unknown {
  if (!(error instanceof PoolError) || error.reason !== "isolationUnavailable" || reached === null)
    return error;
  return new PoolError(
    error.reason,
    `${error.message} This installation has run at ${reached} before; to go on with less, set MINIMUM_ISOLATION.`,
    { cause: error },
  );
}

/** In the first directory that can hold sockets and run programs. */
async function openPoolSomewhere(
  config: WorkerConfig,
  minimumLevel: IsolationLevel,
  log: Logger,
): Promise<Pool> {
  const failures: string[] = [];
  for (const runtimeDirectory of config.runtimeDirectories) {
    try {
      return await openPool({
        runtimeDirectory,
        nodeBinary: process.execPath,
        minimumLevel,
        concurrency: config.WORKER_CONCURRENCY,
        ...(config.SANDBOX_TOOL_PATH.length > 0 ? { toolPath: config.SANDBOX_TOOL_PATH } : {}),
        log: (event) => log.debug({ event }, "pool"),
      });
    } catch (error) {
      if (!(error instanceof PoolError) || error.reason !== "runtimeUnusable") throw error;
      failures.push(`${runtimeDirectory}: ${error.message}`);
    }
  }
  throw new PoolError("runtimeUnusable", `No runtime directory can be used. ${failures.join(" ")}`);
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
