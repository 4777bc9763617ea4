import { Client } from "pg";

import { buildClientConfig, type DatabaseConnectionOptions, endClient } from "./connection.ts";
import { connectionLost, DatabaseUnavailable, translateDatabaseError } from "./errors.ts";

/**
 * One connection for one piece of work, closed whatever happens.
 *
 * @throws DatabaseUnavailable when it cannot be made, or breaks.
 */
export async function withSingleConnection<T>(
  options: DatabaseConnectionOptions,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client(buildClientConfig(options));
  let broken: Error | undefined;
  client.on("error", (error) => {
    broken = error;
  });
  try {
    await client.connect();
  } catch (error) {
    throw new DatabaseUnavailable(
      "cannotConnect",
      "The database cannot be reached, or refuses the connection.",
      {
        retryable: true,
        cause: error,
      },
    );
  }
  try {
    return await work(client);
  } catch (error) {
    throw broken ? connectionLost(broken) : translateDatabaseError(error);
  } finally {
    await endClient(client);
  }
}
