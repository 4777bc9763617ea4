import { type HostOptions, PoolError } from "@minimcp/pool";

import type { HostConfig } from "./env.ts";

/**
 * Opens something in the first runtime directory that can hold sockets and run programs.
 * @throws PoolError `runtimeUnusable` naming what is wrong with each, when none can
 */
export async function openInUsableDirectory<T>(
  config: HostConfig,
  open: (host: HostOptions) => Promise<T>,
): Promise<T> {
  const failures: string[] = [];
  for (const runtimeDirectory of config.runtimeDirectories) {
    try {
      return await open({
        runtimeDirectory,
        nodeBinary: process.execPath,
        slots: config.INSTANCE_UIDS,
        ...(config.SANDBOX_TOOL_PATH.length > 0 ? { toolPath: config.SANDBOX_TOOL_PATH } : {}),
      });
    } catch (error) {
      if (!(error instanceof PoolError) || error.reason !== "runtimeUnusable") throw error;
      failures.push(`${runtimeDirectory}: ${error.message}`);
    }
  }
  throw new PoolError("runtimeUnusable", `No runtime directory can be used. ${failures.join(" ")}`);
}
