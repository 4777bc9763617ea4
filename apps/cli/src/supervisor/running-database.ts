import { buildDatabaseUrl } from "@minimcp/db";

import type { ServerSettings } from "../env.ts";
import { exitCode } from "../exit-code.ts";
import { Failure } from "../failure.ts";
import { readStatus } from "./control-client.ts";
import type { Home } from "./home.ts";
import { databaseUrlOf } from "./product-database.ts";

/**
 * How the database of the product that runs in this home is reached in place of the API.
 * @throws Failure when none runs
 */
export async function findRunningDatabase(settings: ServerSettings, home: Home): Promise<string> {
  const status = await readStatus(home);
  const address = status?.database.address;
  if (!address) {
    throw new Failure(
      `MiniMCP does not run in ${home.path}, so there is no database to work on. Start it first: npm start`,
      exitCode.notRunning,
    );
  }
  // The role and its password come from the home; of the owner, only the place is known here.
  const owner = buildDatabaseUrl({ ...address, user: "minimcp_owner", password: undefined });
  return await databaseUrlOf("api", settings, home, owner);
}
