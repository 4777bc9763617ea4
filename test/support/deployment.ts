import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { storeBuiltinTypes } from "@minimcp/core";
import { openDatabase } from "@minimcp/db";

import type { TestDatabase } from "./database.ts";
import { testMasterKey } from "./product.ts";
import { makeRuntimeDirectory, type TestRuntime } from "./runtime-directory.ts";

/** A process of the product, to be killed. */
export interface RunningProcess extends AsyncDisposable {
  pid: number;
  url: string;
  kill(signal: NodeJS.Signals): void;
  /** Closes the channel, as the end of a supervisor does. */
  hangUp(): void;
  /** Settles with the code or the signal it ended by. */
  exited: Promise<number | NodeJS.Signals>;
  /** All it has written so far. */
  output(): string;
}

/** Databases as the product sees them: one URL for each role. */
export type DatabaseUrls = Pick<TestDatabase, "ownerUrl" | "apiUrl" | "workerUrl">;

/** The product as its supervisor runs it: processes with a channel to their parent, and secrets in files. */
export interface Deployment extends AsyncDisposable {
  database: DatabaseUrls;
  runtime: TestRuntime;
  /** Where the API says that MCP clients connect: the port that the first worker gets. */
  gatewayUrl: string;
  /** @param environment what it gets besides, such as the clock of another host */
  startApi(environment?: Record<string, string>): Promise<RunningProcess>;
  /**
   * @param node whose home and port it has; a worker of the same name is the same node
   * @param environment what it gets besides
   */
  startWorker(node?: string, environment?: Record<string, string>): Promise<RunningProcess>;
}

const startTimeoutMs = 30_000;
const stopTimeoutMs = 15_000;
const main = {
  api: fileURLToPath(import.meta.resolve("@minimcp/api/main")),
  worker: fileURLToPath(import.meta.resolve("@minimcp/worker/main")),
};

/**
 * Nothing runs yet: the test starts what it wants to kill.
 * @param workerMain the program of its workers, where they are to know more servers than the product's
 */
export async function makeDeployment(
  database: DatabaseUrls,
  { workerMain = main.worker }: { workerMain?: string } = {},
): Promise<Deployment> {
  await using resources = new AsyncDisposableStack();
  const home = await mkdtemp("/tmp/minimcp-deployment-");
  resources.defer(() => rm(home, { recursive: true, force: true }));
  const runtime = resources.use(await makeRuntimeDirectory());
  {
    await using owner = openDatabase({
      url: database.ownerUrl,
      applicationName: "test owner",
      maxConnections: 1,
    });
    await storeBuiltinTypes(owner);
  }
  const ports = new Map<string, number>();
  async function portOf(node: string): Promise<string> {
    const port = ports.get(node) ?? (await findFreePort());
    ports.set(node, port);
    return String(port);
  }
  async function writeSecret(name: string, value: string): Promise<Record<string, string>> {
    const path = join(home, name);
    await writeFile(path, value, { mode: 0o600 });
    return { [`${name}_FILE`]: path };
  }
  const gatewayUrl = `http://127.0.0.1:${await portOf("first")}`;
  const acquired = resources.move();
  const start = async (program: string, environment: Record<string, string>): Promise<RunningProcess> => {
    const started = await startProcess(program, environment);
    acquired.use(started);
    return started;
  };
  return {
    database,
    runtime,
    gatewayUrl,
    startApi: async (environment) =>
      await start(main.api, {
        // The same for its successor: the address is in the tokens that it issues.
        API_PORT: await portOf("api"),
        GATEWAY_URL: gatewayUrl,
        INSTANCES_PER_USER: "1000",
        ...(await writeSecret("MASTER_KEY", testMasterKey)),
        ...(await writeSecret("DATABASE_URL_API", database.apiUrl)),
        ...environment,
      }),
    startWorker: async (node = "first", environment = {}) => {
      await mkdir(join(home, node), { recursive: true });
      return await start(workerMain, {
        MINIMCP_HOME: join(home, node),
        GATEWAY_PORT: await portOf(node),
        RUNTIME_DIRECTORY: runtime.path,
        INSTANCES_PER_NODE: "1000",
        ...(await writeSecret("MASTER_KEY", testMasterKey)),
        ...(await writeSecret("DATABASE_URL_WORKER", database.workerUrl)),
        ...environment,
      });
    },
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}

async function startProcess(program: string, environment: Record<string, string>): Promise<RunningProcess> {
  const child = spawn(process.execPath, [program], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { PATH: process.env["PATH"], LOG_LEVEL: process.env["TEST_LOG"] ?? "warn", ...environment },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      output += chunk;
    });
  }
  const exited = once(child, "exit").then(
    ([code, signal]: (number | NodeJS.Signals | null)[]) => signal ?? code ?? 0,
  ) as Promise<number | NodeJS.Signals>;
  const ready = (async () => {
    for (;;) {
      const [message] = (await once(child, "message")) as [{ kind: string; url: string }];
      if (message.kind === "ready") return message.url;
    }
  })();
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const patience = new AbortController();
    const late = delay(stopTimeoutMs, "late", { signal: patience.signal }).catch(() => "in time");
    if ((await Promise.race([exited, late])) === "late") child.kill("SIGKILL");
    patience.abort();
    await exited;
  };
  const failed = exited.then((how) => {
    throw new Error(`${program} ended with ${how} before it was ready:\n${output}`);
  });
  failed.catch(() => undefined);
  const url = await Promise.race([ready, failed, timeout(program)]).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    pid: child.pid ?? 0,
    url,
    kill: (signal) => child.kill(signal),
    hangUp: () => child.disconnect(),
    exited,
    output: () => output,
    [Symbol.asyncDispose]: stop,
  };
}

async function timeout(program: string): Promise<never> {
  await delay(startTimeoutMs, undefined, { ref: false });
  throw new Error(`${program} was not ready within ${startTimeoutMs} ms.`);
}

/** A port that nobody listens on, for processes that must be found again where they were. */
async function findFreePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address.port;
}
