import { readApiConfig } from "@minimcp/api/env";
import { type RunningApi, startApi } from "@minimcp/api/start";
import type { PasswordOptions } from "@minimcp/core";
import { type Logger, pino } from "pino";

import { type Product, testMasterKey } from "../../support/product.ts";

/** One more API process's worth on a product's database, configured otherwise. */
export async function startAnotherApi(
  product: Product,
  environment: Record<string, string> = {},
  options: { log?: Logger; passwords?: PasswordOptions } = {},
): Promise<RunningApi> {
  const config = readApiConfig({
    MASTER_KEY: testMasterKey,
    DATABASE_URL_API: product.database.apiUrl,
    API_PORT: "0",
    ...environment,
  });
  return await startApi(config, options.log ?? pino({ level: "silent" }), {
    passwords: options.passwords ?? { memoryKiB: 1024, passes: 1 },
  });
}
