import { SchemaMismatch } from "@minimcp/db";
import type { Logger } from "pino";

import { ConfigError } from "../config/read-config.ts";
import { KeyringError } from "../vault/keyring.ts";
import { openLog } from "./open-log.ts";
import { openStandardLog } from "./standard-log.ts";

export { openLog } from "./open-log.ts";
export type { LogTrouble } from "./standard-log.ts";

/** What a process of the product runs. */
export interface Service extends AsyncDisposable {
  /** Where clients reach it. */
  url: string;
  /** What its host gives the children of a worker. */
  isolation?: unknown;
  /** Aborts when it cannot go on; the process then ends as if it had been asked to. */
  finished?: AbortSignal;
}

interface ServiceOptions<Config extends { LOG_LEVEL: string }> {
  /** As the log calls the process. */
  name: string;
  readConfig: () => Config;
  start: (config: Config, log: Logger) => Promise<Service>;
  /** Whether an error means, like those of configuration, keyring and schema, that it must not run as things are. */
  isRefusal?: (error: unknown) => boolean;
}

/** EX_CONFIG of sysexits.h: starting again with the same configuration cannot help. */
const exitConfig = 78;

/**
 * The life of a process of the product: reads the configuration, starts the service, tells the supervisor that it is
 * ready, and stops it at SIGTERM, at SIGINT, or when the supervisor is gone. A second signal ends the process at once.
 *
 * A refusal ends it with exit code 78 and its sentence on standard error; any other error, with 1 and the stack.
 */
export async function runService<Config extends { LOG_LEVEL: string }>(
  options: ServiceOptions<Config>,
): Promise<void> {
  try {
    await serve(options);
    // The supervisor may be the one that hung up.
    if (process.connected) process.disconnect();
  } catch (error) {
    const isRefusal =
      error instanceof ConfigError ||
      error instanceof KeyringError ||
      error instanceof SchemaMismatch ||
      options.isRefusal?.(error) === true;
    const said = error instanceof Error ? (isRefusal ? error.message : error.stack) : String(error);
    process.stderr.write(`${said}\n`);
    process.exit(isRefusal ? exitConfig : 1);
  }
}

async function serve<Config extends { LOG_LEVEL: string }>({
  name,
  readConfig,
  start,
}: ServiceOptions<Config>): Promise<void> {
  const config = readConfig();
  const log = openLog(
    name,
    config.LOG_LEVEL,
    openStandardLog((trouble) => process.send?.({ kind: "log", ...trouble }, undefined, {}, () => undefined)),
  );
  const stop = new AbortController();
  let signals = 0;
  const onSignal = (): void => {
    signals += 1;
    if (signals > 1) process.exit(1);
    stop.abort();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("disconnect", () => stop.abort());

  await using service = await start(config, log);
  const { url, isolation, finished } = service;
  log.info({ url, isolation }, "ready");
  process.send?.({ kind: "ready", url, isolation });
  const over = finished === undefined ? stop.signal : AbortSignal.any([stop.signal, finished]);
  if (!over.aborted) await new Promise((resolve) => over.addEventListener("abort", resolve, { once: true }));
  log.info("stopping");
}
