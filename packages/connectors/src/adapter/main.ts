/**
 * The program of a bundle that wraps somebody else's server: `node server.js <script> [argument…]`, the script being
 * relative to this file. Serves MCP over HTTP on the listening socket inherited as descriptor 3. What else it needs
 * stands in its environment (`SandboxEnvironment`), for every user of the host can read a command line.
 *
 * Life and death: standard input is a pipe from the worker, and its end means that the worker died; SIGTERM
 * ends in good order, a second one at once; the end of the wrapped server is the end of this process.
 */
import process from "node:process";

import { readSandboxEnvironment } from "../env.ts";
import { type Forwarder, openForwarder } from "../egress/forwarder.ts";
import { StdioBridge } from "../stdio/stdio-bridge.ts";
import { TcpBridge } from "../tcp/tcp-bridge.ts";
import type { Bridge } from "./bridge.ts";
import { planLaunch, readSettings, type Settings } from "./settings.ts";

process.exit(await run(readSettings(process.argv.slice(2), readSandboxEnvironment())));

async function run(settings: Settings): Promise<number> {
  await using stack = new AsyncDisposableStack();
  let bridge: Bridge | undefined;
  const killAll = (): never => {
    bridge?.kill();
    process.exit(1);
  };
  process.stdin.once("end", killAll).once("error", killAll).resume();
  const terminated = new Promise<number>((end) => {
    process.once("SIGTERM", () => {
      process.once("SIGTERM", killAll);
      end(0);
    });
  });

  let forwarder: Forwarder | null = null;
  if (settings.egress && settings.runtime === "other") {
    forwarder = stack.use(await openForwarder(settings.egress.socketPath));
  }
  const launch = planLaunch(settings, import.meta.dirname, forwarder);
  const { port } = settings;
  bridge = stack.use(port === null ? new StdioBridge(launch, log) : new TcpBridge(launch, port, log));
  const over = bridge.serve().then((why) => {
    log(why);
    return 1;
  });
  // Awaited here: the stack is disposed when this function leaves its block.
  return await Promise.race([terminated, over]);
}

function log(line: string): void {
  // Clients and the wrapped server can have a say in it: a line stays one line.
  process.stderr.write(`adapter: ${line.replaceAll(/\s+/g, " ")}\n`);
}
