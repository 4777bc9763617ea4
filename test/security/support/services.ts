import {
  createPasswords,
  createVault,
  defaultSettings,
  loadAccessTokens,
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
  const db = openDatabase({
    url: product.database.apiUrl,
    applicationName: "test script",
    maxConnections: 2,
  });
  const vault = createVault(parseKeyring(testMasterKey));
  const defects: unknown[] = [];
  return {
    defects,
    context: {
      db,
      vault,
      passwords: createPasswords({ memoryKiB: 1024, passes: 1 }),
      accessTokens: await loadAccessTokens(db, vault, product.api.url),
      settings: { ...defaultSettings, gatewayUrl: "http://127.0.0.1:5001", revokeWaitMs: 200, ...settings },
      request: { id: "request-of-a-script", ipAddress: null, userAgent: null },
      reportDefect: (error) => void defects.push(error),
    },
    [Symbol.asyncDispose]: () => db[Symbol.asyncDispose](),
  };
}
