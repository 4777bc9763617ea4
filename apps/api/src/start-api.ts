import {
  checkKeyring,
  createAuthenticator,
  createOpenStreams,
  createPasswords,
  createVault,
  defaultSettings,
  loadAccessTokens,
  openInstanceFeed,
  readDatabaseTls,
  type PasswordOptions,
} from "@minimcp/core";
import { assertCurrentSchema, openDatabase, readSchemaState } from "@minimcp/db";
import { appRouter, assertPermissions } from "@minimcp/router";
import type { Logger } from "pino";

import type { ApiConfig } from "./env.ts";
import { createHandler } from "./handle.ts";
import { listen } from "./serve.ts";

export interface RunningApi extends AsyncDisposable {
  /** Where clients reach it. */
  url: string;
}

const applicationName = "minimcp api";

/**
 * Starts the API.
 * @throws when the keyring, the schema or a procedure is not as it must be: it never serves half
 */
export async function startApi(
  config: ApiConfig,
  log: Logger,
  options: { passwords?: PasswordOptions } = {},
): Promise<RunningApi> {
  await using resources = new AsyncDisposableStack();
  assertPermissions(appRouter);
  const database = { url: config.DATABASE_URL_API, applicationName, tls: readDatabaseTls(config) };
  assertCurrentSchema(await readSchemaState(database));
  const db = resources.use(
    openDatabase({
      ...database,
      onError: (error) => log.warn({ err: error }, "a database connection broke"),
    }),
  );
  await checkKeyring(db, config.MASTER_KEY);
  const vault = createVault(config.MASTER_KEY);

  const { port, serve } = resources.use(await listen(config));
  const scheme = config.TLS_CERT_FILE === undefined ? "http" : "https";
  const url = config.PUBLIC_URL ?? `${scheme}://127.0.0.1:${port}`;
  const gatewayUrl = config.GATEWAY_URL ?? `${scheme}://127.0.0.1:${config.GATEWAY_PORT}`;
  const accessTokens = await loadAccessTokens(db, vault, url);
  const settings = { ...defaultSettings, gatewayUrl, signUpPolicy: config.SIGN_UP_POLICY };
  const authenticator = createAuthenticator({ db, accessTokens, settings });
  const onError = (error: unknown): void =>
    log.warn({ err: error }, "streams go on without a look at the database");
  const feed = resources.use(openInstanceFeed({ db, database, gatewayUrl, onError }));
  // Behind the listening socket, so that at the end the streams go first: it waits for every answer to be finished.
  const streams = resources.use(createOpenStreams({ db, maxPerUser: config.STREAMS_PER_USER, onError }));

  serve(
    createHandler({
      services: {
        db,
        vault,
        passwords: createPasswords(options.passwords),
        accessTokens,
        feed,
        streams,
        settings,
        reportDefect: (error, where) =>
          log.error({ err: error, ...where }, "a procedure failed unexpectedly"),
      },
      authenticate: (authorization) => authenticator.authenticate(authorization),
      ready: () =>
        db.ping(AbortSignal.timeout(1_000)).then(
          () => true,
          () => false,
        ),
      allowedHosts: new Set([new URL(url).host, `127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]),
      trustedProxies: config.TRUSTED_PROXIES,
      log,
    }),
  );
  const acquired = resources.move();
  return { url, [Symbol.asyncDispose]: () => acquired.disposeAsync() };
}
