import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type ApiConfig, readApiConfig } from "@minimcp/api/env";
import { type RunningApi, startApi } from "@minimcp/api/start";
import { bundles } from "@minimcp/connectors";
import { storeBuiltinTypes } from "@minimcp/core";
import { openDatabase } from "@minimcp/db";
import { readWorkerConfig, type WorkerConfig } from "@minimcp/worker/env";
import { type RunningWorker, type ServerBundle, startWorker } from "@minimcp/worker/start";
import { type Logger, pino } from "pino";

import { createTestDatabase, type TestCluster, type TestDatabase } from "./database.ts";

/** A key for tests alone. */
export const testMasterKey = "8f1d7c02a9b3e45566778812cdef90ab13579bdf02468ace1f2e3d4c5b6a7988";

/** Hashing at full strength would be most of the run. */
const quickPasswords = { memoryKiB: 1024, passes: 1 };

export interface Product extends AsyncDisposable {
  database: TestDatabase;
  api: RunningApi;
  worker: RunningWorker | null;
  home: string;
}

export interface ProductOptions {
  /** Settings by name, as an operator would give them. */
  environment?: Record<string, string>;
  /** False for tests that need no instance to run. */
  worker?: boolean;
  findBundle?: (name: string) => ServerBundle | undefined;
  /** Upstream hosts that live on this machine. */
  loopbackUpstreams?: LoopbackUpstreams;
  /** Where both processes' worth of product log to. Default: nowhere. */
  log?: Logger;
  /** Where its database is made. Default: the one server of the test run. */
  cluster?: TestCluster;
  ingressLimits?: Parameters<typeof startWorker>[2]["ingressLimits"];
}

type LoopbackUpstreams = Parameters<typeof startWorker>[2]["loopbackUpstreams"];

/** The API, and unless told otherwise a worker, on a database of their own, in this process. */
export async function startProduct(options: ProductOptions = {}): Promise<Product> {
  await using resources = new AsyncDisposableStack();
  const home = await mkdtemp(join(tmpdir(), "minimcp-home-"));
  resources.defer(() => rm(home, { recursive: true, force: true }));
  const database = resources.use(await createTestDatabase(options.cluster));
  await addBuiltinTypes(database.ownerUrl);

  const { log = pino({ level: "silent" }) } = options;
  const environment = {
    MINIMCP_HOME: home,
    MASTER_KEY: testMasterKey,
    DATABASE_URL_API: database.apiUrl,
    DATABASE_URL_WORKER: database.workerUrl,
    API_PORT: "0",
    // One account makes everything a file needs; what the limits do has a test of its own.
    INSTANCES_PER_USER: "1000",
    INSTANCES_PER_NODE: "1000",
    GATEWAY_PORT: "0",
    ...options.environment,
  };
  const worker =
    options.worker === false
      ? null
      : resources.use(await startTestWorker(readWorkerConfig(environment), options));
  const apiConfig: ApiConfig = readApiConfig({ GATEWAY_URL: worker?.url, ...environment });
  const api = resources.use(await startApi(apiConfig, log, { passwords: quickPasswords }));
  const acquired = resources.move();
  return { database, api, worker, home, [Symbol.asyncDispose]: () => acquired.disposeAsync() };
}

function startTestWorker(
  config: WorkerConfig,
  {
    findBundle = (name) => (name === "everything" ? bundles.everything : undefined),
    loopbackUpstreams,
    ingressLimits,
    log = pino({ level: process.env["TEST_LOG"] ?? "silent" }),
  }: Pick<ProductOptions, "findBundle" | "loopbackUpstreams" | "ingressLimits" | "log">,
): Promise<RunningWorker> {
  return startWorker(config, log, {
    findBundle,
    ...(loopbackUpstreams && { loopbackUpstreams }),
    ...(ingressLimits && { ingressLimits }),
  });
}

async function addBuiltinTypes(ownerUrl: string): Promise<void> {
  await using owner = openDatabase({ url: ownerUrl, applicationName: "test owner", maxConnections: 1 });
  await storeBuiltinTypes(owner);
}
