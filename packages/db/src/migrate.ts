import { setTimeout as delay } from "node:timers/promises";

import { DrizzleQueryError } from "drizzle-orm/errors";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate as applyMigrations } from "drizzle-orm/node-postgres/migrator";
import { type Client, DatabaseError, escapeIdentifier, escapeLiteral } from "pg";

import type { DatabaseTls } from "./connection.ts";
import { buildDatabaseUrl, parseDatabaseUrl } from "./database-url.ts";
import { DatabaseUnavailable, SchemaMismatch } from "./errors.ts";
import { compareSchema, ourMigrationsDirectory } from "./schema-state.ts";
import { computeScramVerifier } from "./scram-verifier.ts";
import { withSingleConnection } from "./single-connection.ts";

export interface MigrateOptions {
  /** URL of the owner: a role that owns the database and has CREATEROLE. It need not be a superuser. */
  ownerUrl: string;
  /** Passwords for the roles the processes sign in as (printable ASCII). */
  roles: { api: { password: string }; worker: { password: string } };
  tls?: DatabaseTls | undefined;
  /** Default: this package's own. */
  migrationsDirectory?: string | undefined;
  /** How long to wait for a migration that another process is running. Default 120,000. */
  waitMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface MigrationReport {
  /** Names of the migrations applied now, in order. */
  applied: string[];
  /** Name of the last migration in the database. */
  current: string;
  /** Roles whose sign-in was set or changed. */
  rolesChanged: string[];
  /** Whether another process was migrating and this one waited. */
  waited: boolean;
}

const pollMs = 100;

/**
 * Brings the database to this code's schema, in one transaction, and lets the roles `minimcp_api` and `minimcp_worker`
 * sign in. Two at once are safe: one migrates, the other waits and finds the work done.
 *
 * @throws SchemaMismatch when the database is newer than this code, or has other migrations than it.
 * @throws DatabaseUnavailable when it cannot be reached, or another migration does not end within `waitMs`.
 */
export async function migrate(options: MigrateOptions): Promise<MigrationReport> {
  const { migrationsDirectory = ourMigrationsDirectory } = options;
  return withSingleConnection(
    {
      url: options.ownerUrl,
      applicationName: "minimcp migrate",
      tls: options.tls,
      // Rewriting a large table may take its time; waiting for a lock while the whole product queues behind us may not.
      statementTimeoutMs: 0,
      lockTimeoutMs: 30_000,
    },
    async (client) => {
      // Of the session, so it ends with the connection however this process ends.
      const waited = await acquireMigrationLock(client, options);
      const before = await compareSchema(client, migrationsDirectory);
      if (before.status === "newer" || before.status === "drifted") {
        throw new SchemaMismatch(before.status, before.explanation);
      }
      await applyPending(client, migrationsDirectory);
      const rolesChanged = [];
      for (const [role, password] of [
        ["minimcp_api", options.roles.api.password],
        ["minimcp_worker", options.roles.worker.password],
      ] as const) {
        if (await letRoleSignIn(client, options, role, password)) rolesChanged.push(role);
      }
      return { applied: before.pending, current: before.expected, rolesChanged, waited };
    },
  );
}

async function acquireMigrationLock(
  client: Client,
  { waitMs = 120_000, signal }: MigrateOptions,
): Promise<boolean> {
  const deadline = performance.now() + waitMs;
  for (let waited = false; ; waited = true) {
    const { rows } = await client.query<{ locked: boolean }>(
      "select pg_try_advisory_lock(hashtextextended('minimcp.migrate', 0)) as locked",
    );
    if (rows[0]?.locked) return waited;
    if (performance.now() > deadline) {
      throw new DatabaseUnavailable(
        "timeout",
        `Another process has been migrating this database for more than ${waitMs / 1_000} seconds. Look for "minimcp migrate" in pg_stat_activity.`,
        { retryable: true },
      );
    }
    await delay(pollMs, undefined, { signal });
  }
}

async function applyPending(client: Client, migrationsFolder: string): Promise<void> {
  try {
    await applyMigrations(drizzle(client), { migrationsFolder });
  } catch (error) {
    if (!(error instanceof DrizzleQueryError)) throw error;
    // A migration's text holds no values of users, so here, unlike elsewhere, the statement may be shown.
    throw new Error(
      `A migration failed and nothing of it was kept: ${error.cause?.message ?? "unknown reason"}, in: ${error.query.trim().slice(0, 300)}`,
      { cause: error },
    );
  }
}

/** @returns whether anything had to be changed. */
async function letRoleSignIn(
  client: Client,
  options: MigrateOptions,
  role: string,
  password: string,
): Promise<boolean> {
  const { rows } = await client.query<{ rolcanlogin: boolean; privileged: boolean }>(
    "select rolcanlogin, rolsuper or rolbypassrls as privileged from pg_roles where rolname = $1",
    [role],
  );
  const found = rows[0];
  if (!found) throw new Error(`The migrations did not create the role ${role}.`);
  if (found.privileged) {
    throw new Error(
      `The role ${role} is a superuser or bypasses row security, which would void every row policy. As an administrator run: ALTER ROLE ${role} NOSUPERUSER NOBYPASSRLS`,
    );
  }
  // Roles belong to the cluster and may be another owner's, so they are altered only where they must be.
  if (found.rolcanlogin && (await canSignIn(options, role, password))) return false;
  const statement = `alter role ${escapeIdentifier(role)} with login password ${escapeLiteral(await computeScramVerifier(password))}`;
  await alterSharedRole(client, statement, role);
  return true;
}

async function canSignIn(options: MigrateOptions, user: string, password: string): Promise<boolean> {
  const url = buildDatabaseUrl({ ...parseDatabaseUrl(options.ownerUrl), user, password });
  try {
    await withSingleConnection({ url, applicationName: "minimcp migrate", tls: options.tls }, (client) =>
      client.query("select 1"),
    );
    return true;
  } catch (error) {
    if (error instanceof DatabaseUnavailable && error.reason === "cannotConnect") return false;
    throw error;
  }
}

async function alterSharedRole(client: Client, statement: string, role: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await client.query(statement);
      return;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      if (error.code === "42501") {
        throw new Error(
          `The database owner may not alter the role ${role}, which somebody else created. As an administrator run: GRANT ${role} TO <owner> WITH ADMIN OPTION`,
          { cause: error },
        );
      }
      // Two databases of one cluster migrated at once: PostgreSQL has no row lock on roles and says XX000,
      // "tuple concurrently updated".
      if (error.code !== "XX000" || attempt === 5) throw error;
      await delay(pollMs);
    }
  }
}
