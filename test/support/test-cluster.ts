import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { type EmbeddedPostgres, EmbeddedPostgresFailure, migrate, startEmbeddedPostgres } from "@minimcp/db";
import { Client } from "pg";

import type { TestCluster } from "./database.ts";

/** Sockets want short paths, and `TMPDIR` may be long. */
const root = "/tmp";
const prefix = "minimcp-test-";
const youngMs = 60_000;
const templateDatabase = "minimcp_template";

/** Durability costs time and buys nothing here: the data ends with the run. */
const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "200" };

/** One server for a whole test run, in a directory of its own, with a migrated template database. */
export async function startTestCluster(): Promise<AsyncDisposable & { cluster: TestCluster }> {
  await sweepLeftovers();
  await using startup = new AsyncDisposableStack();
  const home = await mkdtemp(join(root, prefix));
  startup.defer(() => rm(home, { recursive: true, force: true }));
  const server = startup.use(
    await startEmbeddedPostgres({ home, settings, closedHomeRoot: join(home, "closed") }),
  );
  const roles = { api: { password: randomPassword() }, worker: { password: randomPassword() } };
  await createTemplate(server, roles);
  const acquired = startup.move();
  return {
    cluster: {
      maintenanceUrl: server.ownerUrl(),
      templateDatabase,
      apiPassword: roles.api.password,
      workerPassword: roles.worker.password,
    },
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}

async function createTemplate(
  server: EmbeddedPostgres,
  roles: Parameters<typeof migrate>[0]["roles"],
): Promise<void> {
  await execute(server.ownerUrl(), `create database ${templateDatabase}`);
  await migrate({ ownerUrl: server.ownerUrl(templateDatabase), roles });
  // A database with a connection to it cannot be copied.
  await execute(server.ownerUrl(), `alter database ${templateDatabase} with allow_connections false`);
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** A run that was killed leaves its server behind. The home of a run that still lives is locked, and refuses. */
async function sweepLeftovers(): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith(prefix)) continue;
    const home = join(root, name);
    // Written once the lock is held: a home without it belongs to a run that is just starting.
    const signed = await stat(join(home, "database.lock")).catch(() => undefined);
    if (!signed || Date.now() - signed.mtimeMs < youngMs) continue;
    try {
      const server = await startEmbeddedPostgres({ home, settings, closedHomeRoot: join(home, "closed") });
      await server.stop();
    } catch (error) {
      if (!(error instanceof EmbeddedPostgresFailure)) throw error;
      if (error.reason === "inUse" || error.reason === "unusableHome") continue;
    }
    await rm(home, { recursive: true, force: true });
  }
}

function randomPassword(): string {
  return randomBytes(24).toString("base64url");
}
