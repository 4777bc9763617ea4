import { type Isolation, PoolError, probeIsolation } from "@minimcp/pool";

import { takeWorkerConfig } from "./env.ts";

/** Finds out what isolation this host gives, without a database or anything else of a worker, and prints it as JSON. */
async function probe(): Promise<Isolation> {
  const config = takeWorkerConfig();
  const failures: string[] = [];
  for (const runtimeDirectory of config.runtimeDirectories) {
    try {
      return await probeIsolation({
        runtimeDirectory,
        nodeBinary: process.execPath,
        ...(config.SANDBOX_TOOL_PATH.length > 0 ? { toolPath: config.SANDBOX_TOOL_PATH } : {}),
      });
    } catch (error) {
      if (!(error instanceof PoolError) || error.reason !== "runtimeUnusable") throw error;
      failures.push(error.message);
    }
  }
  throw new PoolError("runtimeUnusable", `No runtime directory can be used. ${failures.join(" ")}`);
}

process.stdout.write(`${JSON.stringify(await probe())}\n`);
