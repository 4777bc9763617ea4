import {
  checkKeyring,
  createOpenStreams,
  createPasswords,
  createVault,
  defaultSettings,
  loadAccessTokens,
  openInstanceFeed,
  type PasswordOptions,
  readDatabaseTls,
  type Vault,
} from "@minimcp/core";
import { assertCurrentSchema, type Database, openDatabase, readSchemaState } from "@minimcp/db";
import type { RouterContext } from "@minimcp/router";
import type { Logger } from "pino";

import type { ApiConfig } from "./env.ts";

/** The database of the configuration, and the vault whose keys open what lies in it. */
interface Stores extends AsyncDisposable {
  db: Database;
  vault: Vault;
  /** How `db` is connected. */
  connection: { url: string; applicationName: string; tls: ReturnType<typeof readDatabaseTls> };
}

/**
 * @param applicationName as the database server lists the connections
 * @throws when the schema is of another version, or the keyring lacks a key that is in use
 */
export async function openStores(config: ApiConfig, log: Logger, applicationName: string): Promise<Stores> {
  await using resources = new AsyncDisposableStack();
  const connection = { url: config.DATABASE_URL_API, applicationName, tls: readDatabaseTls(config) };
  assertCurrentSchema(await readSchemaState(connection));
  const db = resources.use(
    openDatabase({
      ...connection,
      onError: (error) => log.warn({ err: error }, "a database connection broke"),
    }),
  );
  await checkKeyring(db, config.MASTER_KEY, ["dataKeys", "signingKeys"]);
  const acquired = resources.move();
  return {
    db,
    vault: createVault(config.MASTER_KEY),
    connection,
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}

/** What a procedure needs besides the call itself. */
export interface Services extends AsyncDisposable {
  /** Where clients reach the API. */
  url: string;
  context: Omit<RouterContext, "authenticate" | "request">;
}

/** @param options.port where the API listens, or would */
export async function openServices(
  config: ApiConfig,
  log: Logger,
  { db, vault, connection }: Stores,
  options: { port: number; passwords?: PasswordOptions | undefined },
): Promise<Services> {
  await using resources = new AsyncDisposableStack();
  const scheme = config.TLS_CERT_FILE === undefined ? "http" : "https";
  const url = config.PUBLIC_URL ?? `${scheme}://127.0.0.1:${options.port}`;
  const gatewayUrl = config.GATEWAY_URL ?? `${scheme}://127.0.0.1:${config.GATEWAY_PORT}`;
  const accessTokens = await loadAccessTokens(db, vault, url);
  const onError = (error: unknown): void =>
    log.warn({ err: error }, "streams go on without a look at the database");
  const settings = {
    ...defaultSettings,
    gatewayUrl,
    signUpPolicy: config.SIGN_UP_POLICY,
    instancesPerUser: config.INSTANCES_PER_USER,
    renewalsPerInstance: config.RENEWALS_PER_INSTANCE,
    renewedLifetimeMinutes: config.RENEWED_LIFETIME_MINUTES,
  };
  const feed = resources.use(openInstanceFeed({ db, database: connection, settings, onError }));
  const streams = resources.use(createOpenStreams({ db, maxPerUser: config.STREAMS_PER_USER, onError }));
  const acquired = resources.move();
  return {
    url,
    context: {
      db,
      vault,
      passwords: createPasswords(options.passwords),
      accessTokens,
      feed,
      streams,
      settings,
      reportDefect: (error, where) => log.error({ err: error, ...where }, "a procedure failed unexpectedly"),
    },
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}
