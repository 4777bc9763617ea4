import { ConfigError, KeyringError } from "@minimcp/core";
import { SchemaMismatch } from "@minimcp/db";

import { takeApiConfig } from "./env.ts";
import { openLog } from "./log.ts";
import { startApi } from "./start-api.ts";

/** sysexits.h: starting again with the same configuration cannot help. */
const exitConfig = 78;

async function main(): Promise<void> {
  const config = takeApiConfig();
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

  await using api = await startApi(config, log);
  log.info({ url: api.url }, "ready");
  process.send?.({ kind: "ready", url: api.url });
  if (!stop.signal.aborted)
    await new Promise((resolve) => stop.signal.addEventListener("abort", resolve, { once: true }));
  log.info("stopping");
}

try {
  await main();
  if (process.connected) process.disconnect();
} catch (error) {
  const refused =
    error instanceof ConfigError || error instanceof KeyringError || error instanceof SchemaMismatch;
  process.stderr.write(`${refused ? error.message : String(error instanceof Error ? error.stack : error)}\n`);
  process.exit(refused ? exitConfig : 1);
}
