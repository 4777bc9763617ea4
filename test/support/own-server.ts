import { randomBytes } from "node:crypto";

import { buildDatabaseUrl, type EmbeddedPostgres, migrate, parseDatabaseUrl } from "@minimcp/db";

import type { DatabaseUrls } from "./deployment.ts";

/** Migrates the product's database on a server of a test's own, for a test that does the server itself some harm. */
export async function prepareDatabase(server: EmbeddedPostgres): Promise<DatabaseUrls> {
  const passwords = {
    api: randomBytes(24).toString("base64url"),
    worker: randomBytes(24).toString("base64url"),
  };
  const ownerUrl = server.ownerUrl();
  await migrate({
    ownerUrl,
    roles: { api: { password: passwords.api }, worker: { password: passwords.worker } },
  });
  const address = parseDatabaseUrl(ownerUrl);
  return {
    ownerUrl,
    apiUrl: buildDatabaseUrl({ ...address, user: "minimcp_api", password: passwords.api }),
    workerUrl: buildDatabaseUrl({ ...address, user: "minimcp_worker", password: passwords.worker }),
  };
}
