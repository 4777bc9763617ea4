// The worker's program, with the servers of the tests beside those of the product.
import { runService } from "@minimcp/core/service";
import { takeWorkerConfig } from "@minimcp/worker/env";
import { startWorker } from "@minimcp/worker/start";

import { findBundle } from "./instances.ts";

await runService({
  name: "worker",
  readConfig: takeWorkerConfig,
  start: (config, log) => startWorker(config, log, { findBundle }),
});
