import { bundles } from "@minimcp/connectors";
import { runService } from "@minimcp/core/service";
import { PoolError } from "@minimcp/pool";

import { takeWorkerConfig } from "./env.ts";
import { startWorker } from "./start-worker.ts";

await runService({
  name: "worker",
  readConfig: takeWorkerConfig,
  start: (config, log) =>
    startWorker(config, log, {
      findBundle: (name) =>
        Object.hasOwn(bundles, name) ? bundles[name as keyof typeof bundles] : undefined,
    }),
  isRefusal: (error) => error instanceof PoolError && error.reason === "isolationUnavailable",
});
