import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { buildDatabaseUrl, parseDatabaseUrl } from "@minimcp/db";
import { Client, escapeIdentifier } from "pg";
import { inject } from "vitest";

/** Where the run's one server is; `global-setup.ts` provides it to every test file. */
export interface TestCluster {
  /** URL of the owner on a database that no test uses. */
  maintenanceUrl: string;
  /** A migrated database, whose copies are what tests work on. */
  templateDatabase: string;
  apiPassword: string;
  workerPassword: string;
}

declare module "vitest" {
  interface ProvidedContext {
    testCluster: TestCluster;
  }
}

export interface TestDatabase extends AsyncDisposable {
  ownerUrl: string;
  apiUrl: string;
  workerUrl: string;
  /**
   * Removes the database.
   *
   * @throws when somebody is still connected to it: a pool or a listener has leaked.
   */
  drop(): Promise<void>;
}

/** Closing a connection is a message; the server takes a moment to let go. */
const releaseTimeoutMs = 3_000;

/** A database of its own for a test file, migrated, with nothing in it but what migrations put there. */
export async function createTestDatabase(
  cluster: TestCluster = inject("testCluster"),
): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await maintain(cluster, (client) =>
    client.query(
      `create database ${escapeIdentifier(name)} template ${escapeIdentifier(cluster.templateDatabase)}`,
    ),
  );
  const owner = { ...parseDatabaseUrl(cluster.maintenanceUrl), database: name };
  let dropping: Promise<void> | undefined;
  const drop = (): Promise<void> => (dropping ??= dropDatabase(cluster, name));
  return {
    ownerUrl: buildDatabaseUrl(owner),
    apiUrl: buildDatabaseUrl({ ...owner, user: "minimcp_api", password: cluster.apiPassword }),
    workerUrl: buildDatabaseUrl({ ...owner, user: "minimcp_worker", password: cluster.workerPassword }),
    drop,
    [Symbol.asyncDispose]: drop,
  };
}

async function dropDatabase(cluster: TestCluster, name: string): Promise<void> {
  await maintain(cluster, async (client) => {
    const deadline = performance.now() + releaseTimeoutMs;
    let leaked: string[];
    do {
      const { rows } = await client.query<{ application_name: string }>(
        "select application_name from pg_stat_activity where datname = $1",
        [name],
      );
      leaked = rows.map((row) => row.application_name);
      if (leaked.length > 0) await delay(20);
    } while (leaked.length > 0 && performance.now() < deadline);
    // The owner may not end other roles' sessions, so the database stays until the run's server ends.
    if (leaked.length > 0) {
      throw new Error(`Left connected to the test database: ${leaked.join(", ")}. Dispose what opened it.`);
    }
    await client.query(`drop database ${escapeIdentifier(name)}`);
  });
}

async function maintain(cluster: TestCluster, work: (client: Client) => Promise<unknown>): Promise<void> {
  const { host, port, user, password, database } = parseDatabaseUrl(cluster.maintenanceUrl);
  const client = new Client({
    host,
    port,
    user,
    password: password ?? "",
    database,
    application_name: "test support",
  });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
