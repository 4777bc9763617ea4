import { runService } from "@minimcp/core/service";

import { takeApiConfig } from "./env.ts";
import { startApi } from "./start-api.ts";

await runService({ name: "api", readConfig: takeApiConfig, start: startApi });
