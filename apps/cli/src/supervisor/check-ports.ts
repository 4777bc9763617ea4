import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { ConfigError } from "@minimcp/core";

import { portNames, type ServerSettings } from "../env.ts";
import { errorCode } from "../error-code.ts";
import { describeError } from "../failure.ts";

const pollMs = 100;

/**
 * Sees before anything is started that the ports can be had.
 * @param patienceMs how long to wait for ports in use: what a killed start left behind takes a moment to end
 * @throws ConfigError naming port and setting
 */
export async function checkPorts(
  settings: Pick<ServerSettings, "HOST" | "API_PORT" | "GATEWAY_PORT" | "DASHBOARD" | "DASHBOARD_PORT">,
  { patienceMs, signal }: { patienceMs: number; signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const problems: string[] = [];
    for (const name of portNames(settings)) {
      const problem = await tryPort(settings.HOST, settings[name]);
      if (problem !== undefined) problems.push(`${name}: ${problem}`);
    }
    if (problems.length === 0) return;
    if (performance.now() > deadline) throw new ConfigError(problems);
    await delay(pollMs, undefined, { signal });
  }
}

async function tryPort(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (error) {
    const code = errorCode(error);
    if (code === "EADDRINUSE") {
      return `port ${port} on ${host} is in use by another program; end that, or set another port`;
    }
    if (code === "EACCES") return `port ${port} may not be used by this user; choose one above 1023`;
    return `port ${port} on ${host} cannot be used (${describeError(error)})`;
  }
  const closed = once(server, "close");
  server.close();
  await closed;
  return undefined;
}
