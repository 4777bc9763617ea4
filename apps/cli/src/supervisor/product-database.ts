import { randomBytes } from "node:crypto";

import { readDatabaseTls, storeBuiltinTypes } from "@minimcp/core";
import { buildDatabaseUrl, migrate, openDatabase, parseDatabaseUrl } from "@minimcp/db";

import type { ServerSettings } from "../env.ts";
import { EmbeddedDatabase } from "./embedded-database.ts";
import { ensureSecret, type Home, readSecret } from "./home.ts";

export type DatabaseRole = "api" | "worker";

export interface ProductDatabase extends AsyncDisposable {
  kind: "embedded" | "external";
  ownerUrl: string;
  state: "ready" | "waiting" | "stopping";
  restarts: number;
}

/** The database of the configuration: the one that DATABASE_URL names, or the home's own, which is then running. */
export async function openProductDatabase(
  settings: ServerSettings,
  home: Home,
  { report, signal }: { report: (line: string) => void; signal: AbortSignal },
): Promise<ProductDatabase> {
  if (settings.DATABASE_URL !== undefined) {
    return {
      kind: "external",
      ownerUrl: settings.DATABASE_URL,
      state: "ready",
      restarts: 0,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const embedded = await EmbeddedDatabase.open({
    home: home.path,
    runtimeDirectory: settings.RUNTIME_DIRECTORY,
    report,
    signal,
  });
  return Object.assign(embedded, { kind: "embedded" as const });
}

/**
 * Brings a database to this version: schema, roles that can sign in, and the catalogue's built-in types.
 * @returns the names of the migrations that were applied
 */
export async function bringUpToDate(
  settings: ServerSettings,
  home: Home,
  ownerUrl: string,
  signal: AbortSignal,
): Promise<string[]> {
  const ensurePassword = async (role: DatabaseRole) => {
    if (givenUrl(role, settings) === undefined) {
      await ensureSecret(home, passwordName(role), () => randomBytes(32).toString("base64url"));
    }
    const { password = "" } = parseDatabaseUrl(await databaseUrlOf(role, settings, home, ownerUrl));
    return { password };
  };
  const roles = { api: await ensurePassword("api"), worker: await ensurePassword("worker") };
  const tls = readDatabaseTls(settings);
  const { applied } = await migrate({ ownerUrl, roles, tls, signal });
  await using owner = openDatabase({
    url: ownerUrl,
    tls,
    applicationName: "minimcp start",
    maxConnections: 1,
  });
  await storeBuiltinTypes(owner);
  return applied;
}

/** As whom a process signs in: as configured, else with the home's own password. */
export async function databaseUrlOf(
  role: DatabaseRole,
  settings: ServerSettings,
  home: Home,
  ownerUrl: string,
): Promise<string> {
  const given = givenUrl(role, settings);
  if (given !== undefined) return given;
  const password = await readSecret(home, passwordName(role));
  return buildDatabaseUrl({ ...parseDatabaseUrl(ownerUrl), user: `minimcp_${role}`, password });
}

function givenUrl(role: DatabaseRole, settings: ServerSettings): string | undefined {
  return role === "api" ? settings.DATABASE_URL_API : settings.DATABASE_URL_WORKER;
}

function passwordName(role: DatabaseRole): string {
  return `database-${role}-password`;
}
