import { bundles } from "@minimcp/connectors";
import { ConfigError } from "@minimcp/core";
import { SchemaMismatch } from "@minimcp/db";
import { PoolError } from "@minimcp/pool";

import { takeWorkerConfig } from "./env.ts";
import { openLog } from "./log.ts";
import { startWorker } from "./start-worker.ts";

/** sysexits.h: starting again with the same configuration cannot help. */
const exitConfig = 78;

async function main(): Promise<void> {
  const config = takeWorkerConfig();
  const log = openLog(config.LOG_LEVEL);
  const stop = new AbortController();
  let signals = 0;
  const onSignal = (): void => {
    signals += 1;
    // The first asks, the second insists.
    if (signals > 1) process.exit(1);
    stop.abort();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  // Started by a supervisor: when that is gone, so is the reason to run.
  process.on("disconnect", () => stop.abort());

  await using worker = await startWorker(config, log, {
    findBundle: (name) => (Object.hasOwn(bundles, name) ? bundles[name as keyof typeof bundles] : undefined),
  });
  log.info({ url: worker.url, isolation: worker.isolation }, "ready");
  process.send?.({ kind: "ready", url: worker.url, isolation: worker.isolation });
  const over = AbortSignal.any([stop.signal, worker.finished]);
  if (!over.aborted) await new Promise((resolve) => over.addEventListener("abort", resolve, { once: true }));
  log.info("stopping");
}

try {
  await main();
  // The supervisor may be the one that hung up.
  if (process.connected) process.disconnect();
} catch (error) {
  const refused =
    error instanceof ConfigError ||
    error instanceof SchemaMismatch ||
    (error instanceof PoolError && error.reason === "isolationUnavailable");
  process.stderr.write(`${refused ? error.message : String(error instanceof Error ? error.stack : error)}\n`);
  process.exit(refused ? exitConfig : 1);
}
