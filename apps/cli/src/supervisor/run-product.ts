import { once } from "node:events";
import { existsSync } from "node:fs";

import type { ServerConfig } from "../env.ts";
import { Failure } from "../failure.ts";
import { tryLock } from "../file-lock.ts";
import { ownCommand } from "../own-command.ts";
import { checkPorts } from "./check-ports.ts";
import { readStatus } from "./control-client.ts";
import { serveControl } from "./control-server.ts";
import { clearHandover, type Home, homeAt, prepareHome } from "./home.ts";
import { Product, type Welcome } from "./product.ts";
import type { ProductStatus } from "./product-status.ts";

export interface RunOptions {
  config: ServerConfig;
  /** One line for whoever started the product. */
  report: (line: string) => void;
  onReady(status: ProductStatus, welcome: Welcome): void;
  /** Ends the product in order. */
  signal: AbortSignal;
  /** Aborts when its processes are to be killed instead of asked. */
  insist: AbortSignal;
}

/** The processes of a start that was killed end by themselves; for so long they may still have the ports. */
const leftoverPatienceMs = 20_000;

/**
 * Runs the product until the signal aborts, somebody says `minimcp stop`, or it cannot go on. When this returns or
 * throws, nothing of it is left running.
 * @throws Failure, ConfigError, EmbeddedPostgresFailure, SchemaMismatch when it cannot run
 */
export async function runProduct(options: RunOptions): Promise<void> {
  const { config, insist } = options;
  const home = homeAt(config.settings.MINIMCP_HOME);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const ended = once(signal, "abort");

  await using resources = new AsyncDisposableStack();
  await prepareHome(home);
  resources.use(await holdHome(home));
  // An earlier start did not get to remove it.
  const wasKilled = existsSync(home.controlSocket);
  await clearHandover(home);

  const product = new Product({ config, home, report: (line) => report(line) });
  const control = resources.use(
    await serveControl(home.controlSocket, { status: () => product.status(), stop: () => stop.abort() }),
  );
  function report(line: string): void {
    options.report(line);
    control.report(line);
  }
  resources.use(product);
  insist.addEventListener("abort", () => product.kill(), { once: true });

  try {
    await checkPorts(config.settings, { patienceMs: wasKilled ? leftoverPatienceMs : 0, signal });
    const welcome = await product.start(signal);
    options.onReady(product.status(), welcome);
    await Promise.race([ended, product.gaveUp]);
  } catch (error) {
    // Told to stop while it started: what was under way failed for that.
    if (!signal.aborted) throw error;
  }
}

/** @throws Failure saying where the home's product runs already */
async function holdHome(home: Home): Promise<Disposable> {
  const lock = tryLock(home.lock);
  if (lock !== undefined) return lock;
  const running = await readStatus(home);
  if (running === undefined) {
    throw new Failure(`Another start works on ${home.path} at this moment. See: ${ownCommand("status")}`);
  }
  const { pid, api, gateway } = running;
  const where = api.url === null ? "and is starting" : `api ${api.url} gateway ${gateway.url}`;
  throw new Failure(
    `MiniMCP runs in ${home.path} already: process ${pid}, ${where}. Stop it with \`${ownCommand("stop")}\`, or choose another MINIMCP_HOME.`,
  );
}
