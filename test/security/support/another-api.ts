import { readApiConfig } from "@minimcp/api/env";
import { type RunningApi, startApi } from "@minimcp/api/start";
import type { PasswordOptions } from "@minimcp/core";
import { type Logger, pino } from "pino";

import { type Product, testMasterKey } from "../../support/product.ts";

/** One more API process's worth on a product's database, configured otherwise. */
export async function startAnotherApi(
  product: Product,
  environment: Record<string, string> = {},
  options: { log?: Logger; passwords?: PasswordOptions; stalledStreamMs?: number } = {},
): Promise<RunningApi> {
  const config = readApiConfig({
    MASTER_KEY: testMasterKey,
    DATABASE_URL_API: product.database.apiUrl,
    API_PORT: "0",
    ...environment,
  });
  const { log = pino({ level: "silent" }), passwords = { memoryKiB: 1024, passes: 1 }, ...others } = options;
  return await startApi(config, log, { passwords, ...others });
}
