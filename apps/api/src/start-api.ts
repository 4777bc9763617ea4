import { createAuthenticator, type PasswordOptions } from "@minimcp/core";
import { appRouter, assertPermissions } from "@minimcp/router";
import type { Logger } from "pino";

import type { ApiConfig } from "./env.ts";
import { createHandler } from "./handle.ts";
import { openServices, openStores } from "./open-services.ts";
import { listen } from "./serve.ts";

export interface RunningApi extends AsyncDisposable {
  /** Where clients reach it. */
  url: string;
}

/** Three pings. */
const stalledStreamMs = 45_000;

/**
 * Starts the API.
 * @throws when the keyring, the schema or a procedure is not as it must be: it never serves half
 */
export async function startApi(
  config: ApiConfig,
  log: Logger,
  options: { passwords?: PasswordOptions; stalledStreamMs?: number } = {},
): Promise<RunningApi> {
  await using resources = new AsyncDisposableStack();
  assertPermissions(appRouter);
  const stores = resources.use(await openStores(config, log, "minimcp api"));
  const { port, serve } = resources.use(await listen(config));
  // Behind the listening socket, so that at the end the streams go first: it waits for every answer to be finished.
  const services = resources.use(await openServices(config, log, stores, { port, ...options }));
  const { db, accessTokens, settings } = services.context;
  const authenticator = createAuthenticator({ db, accessTokens, settings });
  serve(
    createHandler({
      services: services.context,
      authenticator,
      ready: () =>
        db.ping(AbortSignal.timeout(1_000)).then(
          () => true,
          () => false,
        ),
      allowedHosts: new Set([
        new URL(services.url).host,
        `127.0.0.1:${port}`,
        `localhost:${port}`,
        `[::1]:${port}`,
      ]),
      trustedProxies: config.TRUSTED_PROXIES,
      hopSecret: config.HOP_SECRET,
      stalledStreamMs: options.stalledStreamMs ?? stalledStreamMs,
      log,
    }),
  );
  const acquired = resources.move();
  return { url: services.url, [Symbol.asyncDispose]: () => acquired.disposeAsync() };
}
