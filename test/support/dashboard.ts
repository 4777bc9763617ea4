import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { type Browser, chromium } from "playwright-core";

const chromiumPath = "/usr/bin/chromium";

/** Whether there is a browser to test with. @throws in CI, where a test that is left out is a test that fails */
export function hasChromium(): boolean {
  if (existsSync(chromiumPath)) return true;
  const sentence = `${chromiumPath} is missing: apt-get install -y --no-install-recommends chromium fonts-dejavu-core`;
  if (process.env["CI"] !== undefined) throw new Error(sentence);
  process.stderr.write(`The dashboard is not tested in a browser. ${sentence}\n`);
  return false;
}

export async function startChromium(): Promise<Browser> {
  return await chromium.launch({
    executablePath: chromiumPath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export interface RunningDashboard extends AsyncDisposable {
  url: string;
  /** What it wrote so far. */
  output(): string;
}

interface DashboardOptions {
  apiUrl: string;
  port?: number;
  sessionSecret?: string;
  /** Further settings, by name. */
  environment?: Record<string, string>;
}

const startTimeoutMs = 30_000;

/** The dashboard as `minimcp start` runs it: the built pages, served by a process of its own. */
export async function startDashboard(options: DashboardOptions): Promise<RunningDashboard> {
  const main = fileURLToPath(new URL("../../apps/dashboard/src/main.ts", import.meta.url));
  const child = spawn(process.execPath, [main], {
    env: {
      NODE_ENV: "production",
      DASHBOARD_PORT: String(options.port ?? 0),
      PUBLIC_URL: options.apiUrl,
      SESSION_SECRET: options.sessionSecret ?? randomBytes(32).toString("hex"),
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const exited = once(child, "exit");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => (output += String(text)));
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  const [message] = await Promise.race([
    once(child, "message", { signal: AbortSignal.timeout(startTimeoutMs) }).catch(() => []),
    exited.then(() => []),
  ]);
  if (message === undefined) {
    await stop();
    throw new Error(`The dashboard did not start:\n${output}`);
  }
  return { url: message.url, output: () => output, [Symbol.asyncDispose]: stop };
}
