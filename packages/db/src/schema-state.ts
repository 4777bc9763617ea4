import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { readMigrationFiles } from "drizzle-orm/migrator";
import type { Client } from "pg";

import type { DatabaseConnectionOptions } from "./connection.ts";
import { SchemaMismatch } from "./errors.ts";
import { withSingleConnection } from "./single-connection.ts";

export const ourMigrationsDirectory = fileURLToPath(new URL("../migrations", import.meta.url));

export interface SchemaState {
  /**
   * - `current`: the database has exactly the migrations of this code.
   * - `older`: it lacks some; `minimcp migrate` applies them.
   * - `newer`: it has some that this code does not know.
   * - `drifted`: what it has differs from what this code would have done.
   */
  status: "current" | "older" | "newer" | "drifted";
  /** Name of the last migration in the database, its hash where we do not know the name, null when there is none. */
  current: string | null;
  /** Name of this code's last migration. */
  expected: string;
  /** Names of the migrations that would be applied, in order; empty unless `older`. */
  pending: string[];
  /** One sentence that names what differs and what to do. */
  explanation: string;
}

/**
 * Compares the database's migrations with this code's. Any of the product's roles may ask.
 *
 * @throws DatabaseUnavailable when the database cannot be asked.
 */
export async function readSchemaState(
  options: DatabaseConnectionOptions & { migrationsDirectory?: string | undefined },
): Promise<SchemaState> {
  return withSingleConnection(options, (client) =>
    compareSchema(client, options.migrationsDirectory ?? ourMigrationsDirectory),
  );
}

/**
 * For the boot of a process that must not touch a schema it was not written for.
 *
 * @throws SchemaMismatch unless the state is `current`.
 */
export function assertCurrentSchema(state: SchemaState): void {
  if (state.status !== "current") throw new SchemaMismatch(state.status, state.explanation);
}

export async function compareSchema(client: Client, migrationsDirectory: string): Promise<SchemaState> {
  const ours = await readMigrations(migrationsDirectory);
  const theirs = await readAppliedMigrations(client);
  const expected = ours.at(-1)?.name ?? "none";
  const last = theirs.at(-1);
  const current = last ? (ours.find(({ hash }) => hash === last.hash)?.name ?? last.hash.slice(0, 12)) : null;
  const state = { current, expected, pending: [] };

  for (const [index, applied] of theirs.entries()) {
    const own = ours[index];
    if (own?.hash === applied.hash) continue;
    const appliedName = `${applied.hash.slice(0, 12)} of ${new Date(applied.createdAtMs).toISOString()}`;
    if (!own) {
      return {
        ...state,
        status: "newer",
        explanation: `The database has a newer schema than this version of MiniMCP: migration ${appliedName} is unknown here, the last known one is ${expected}. Start the newer version, or restore a backup from before it.`,
      };
    }
    return {
      ...state,
      status: "drifted",
      explanation:
        own.createdAtMs === applied.createdAtMs
          ? `Migration ${own.name} was changed after the database had applied it. Restore the file as it was released; a change belongs in a new migration.`
          : `Where this version of MiniMCP has migration ${own.name}, the database has applied ${appliedName}. It belongs to another version or branch; restore a backup of this one.`,
    };
  }
  const pending = ours.slice(theirs.length).map(({ name }) => name);
  if (pending.length === 0)
    return { ...state, status: "current", explanation: `The schema is at ${expected}.` };
  return {
    ...state,
    pending,
    status: "older",
    explanation: `The database lacks ${pending.join(", ")}. Run \`minimcp migrate\`.`,
  };
}

interface Migration {
  name: string;
  hash: string;
  createdAtMs: number;
}

async function readMigrations(directory: string): Promise<Migration[]> {
  const journal: { entries: { tag: string }[] } = JSON.parse(
    await readFile(join(directory, "meta/_journal.json"), "utf8"),
  );
  return readMigrationFiles({ migrationsFolder: directory }).map(({ hash, folderMillis }, index) => ({
    name: journal.entries[index]?.tag ?? hash.slice(0, 12),
    hash,
    createdAtMs: folderMillis,
  }));
}

async function readAppliedMigrations(client: Client): Promise<Omit<Migration, "name">[]> {
  const exists = await client.query<{ found: boolean }>(
    "select exists (select from pg_tables where schemaname = 'drizzle' and tablename = '__drizzle_migrations') as found",
  );
  if (!exists.rows[0]?.found) return [];
  const { rows } = await client.query<{ hash: string; created_at: string }>(
    "select hash, created_at from drizzle.__drizzle_migrations order by created_at, id",
  );
  return rows.map(({ hash, created_at }) => ({ hash, createdAtMs: Number(created_at) }));
}
