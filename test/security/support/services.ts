import {
  createOpenStreams,
  createPasswords,
  createVault,
  defaultSettings,
  loadAccessTokens,
  openInstanceFeed,
  parseKeyring,
  type Settings,
} from "@minimcp/core";
import { openDatabase } from "@minimcp/db";
import type { RouterContext } from "@minimcp/router";

import { type Product, testMasterKey } from "../../support/product.ts";

export interface Services extends AsyncDisposable {
  context: Omit<RouterContext, "authenticate">;
  /** What was reported as unexpected. */
  defects: unknown[];
}

/** What a script of an operator has in its hands: the domain's services on the product's database. */
export async function openServices(product: Product, settings: Partial<Settings> = {}): Promise<Services> {
  await using resources = new AsyncDisposableStack();
  const database = { url: product.database.apiUrl, applicationName: "test script" };
  const db = resources.use(openDatabase({ ...database, maxConnections: 2 }));
  const vault = createVault(parseKeyring(testMasterKey));
  const defects: unknown[] = [];
  const onError = (error: unknown): void => void defects.push(error);
  const viewed = { ...defaultSettings, gatewayUrl: "http://127.0.0.1:5001", revokeWaitMs: 200, ...settings };
  const feed = resources.use(openInstanceFeed({ db, database, settings: viewed, onError }));
  const streams = resources.use(createOpenStreams({ db, maxPerUser: 20, onError }));
  const acquired = resources.move();
  return {
    defects,
    context: {
      db,
      vault,
      passwords: createPasswords({ memoryKiB: 1024, passes: 1 }),
      accessTokens: await loadAccessTokens(db, vault, product.api.url),
      feed,
      streams,
      settings: viewed,
      request: { id: "request-of-a-script", ipAddress: null, userAgent: null },
      reportDefect: onError,
    },
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}
