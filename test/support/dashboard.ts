import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
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
}

const startTimeoutMs = 20_000;

/** The dashboard as it is deployed: the built server, in a process of its own. */
export async function startDashboard(options: DashboardOptions): Promise<RunningDashboard> {
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const directory = fileURLToPath(
    new URL("../../apps/dashboard/dist/standalone/apps/dashboard/", import.meta.url),
  );
  const child = spawn(process.execPath, ["server.js"], {
    cwd: directory,
    env: {
      NODE_ENV: "production",
      HOSTNAME: "127.0.0.1",
      PORT: String(port),
      PUBLIC_URL: options.apiUrl,
      DASHBOARD_URL: url,
      SESSION_SECRET: options.sessionSecret ?? randomBytes(32).toString("hex"),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += String(text)));
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  const deadline = performance.now() + startTimeoutMs;
  while (!(await answers(url))) {
    if (child.exitCode === null && performance.now() < deadline) continue;
    await stop();
    throw new Error(`The dashboard did not start:\n${output}`);
  }
  return { url, output: () => output, [Symbol.asyncDispose]: stop };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/sign-in`, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return true;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return false;
  }
}

/** The address must be known before it starts, since it is part of its configuration. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
