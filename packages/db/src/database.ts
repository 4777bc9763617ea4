import { setTimeout as delay } from "node:timers/promises";

import { NodePgSession, NodePgTransaction } from "drizzle-orm/node-postgres";
import { PgDialect } from "drizzle-orm/pg-core";
import { DatabaseError, Pool, type PoolClient } from "pg";

import { raceAbort } from "./abort.ts";
import { buildClientConfig, type DatabaseConnectionOptions } from "./connection.ts";
import { connectionLost, DatabaseUnavailable, endsConnection, translateDatabaseError } from "./errors.ts";

/** What the row policies let an actor see; the same words as in `app.scope`. */
export type Scope = "user" | "auditor" | "admin" | "system";

export interface DatabaseActor {
  /** The user on whose behalf the transaction runs; null for the system itself and for visitors not signed in. */
  userId: string | null;
  scope: Scope;
}

/**
 * Drizzle's SQL-like builder, bound to one open transaction. `tx.transaction()` sets a savepoint.
 * It refuses statements once its transaction has ended.
 */
export type Transaction = NodePgTransaction<Record<string, never>, Record<string, never>>;

export interface DatabaseOptions extends DatabaseConnectionOptions {
  /** Most connections at once. Default 10. Callers beyond wait for up to `connectTimeoutMs`. */
  maxConnections?: number | undefined;
  /** How long closing waits for transactions under way before it cuts their connections. Default 10,000. */
  closeTimeoutMs?: number | undefined;
  /** Told when an idle connection breaks, as when the server restarts. The pool replaces it by itself. */
  onError?: ((error: Error) => void) | undefined;
}

export interface Database extends AsyncDisposable {
  /**
   * Runs `work` in one transaction as `actor`: it commits when `work` returns and rolls back when it throws.
   *
   * @throws DatabaseUnavailable when the database cannot do it now; `retryable` tells whether it may simply run again.
   * @throws DatabaseQueryFailed when the server refused a statement and `work` let the error through.
   */
  as<T>(actor: DatabaseActor, work: (tx: Transaction) => Promise<T>): Promise<T>;
  /**
   * One round trip to the server, for readiness probes.
   *
   * @throws DatabaseUnavailable when it is not answered.
   * @throws the signal's reason when that aborts first.
   */
  ping(signal?: AbortSignal): Promise<void>;
}

const scopes: ReadonlySet<string> = new Set<Scope>(["user", "auditor", "admin", "system"]);
const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Opens a pool of connections. It connects on first use, so a database that is down shows in the first call, not here.
 *
 * @throws TypeError for a URL or TLS settings that cannot be used.
 */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new Pool({
    ...buildClientConfig(options),
    max: options.maxConnections ?? 10,
    idleTimeoutMillis: 30_000,
  });
  pool.on("error", (error) => options.onError?.(error));
  const dialect = new PgDialect();
  const inUse = new Set<PoolClient>();
  let closing: Promise<void> | undefined;

  async function withClient<T>(use: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await checkOut(pool);
    inUse.add(client);
    let broken = false;
    const onBroken = (): void => {
      broken = true;
    };
    // A checked-out client without a listener would turn a lost connection into an uncaught exception.
    client.on("error", onBroken);
    try {
      return await use(client);
    } catch (error) {
      broken ||=
        endsConnection(error) || (error instanceof DatabaseUnavailable && error.reason === "connectionLost");
      throw error;
    } finally {
      inUse.delete(client);
      // Anything but a connection known to be idle outside a transaction is thrown away: what is left on it
      // (an open transaction, the settings of an actor) would belong to the next caller.
      client.release(broken || client.getTransactionStatus() !== "I");
      client.off("error", onBroken);
    }
  }

  async function close(): Promise<void> {
    const ended = pool.end();
    const deadline = new AbortController();
    const cut = delay(options.closeTimeoutMs ?? 10_000, undefined, { signal: deadline.signal }).then(
      () => Promise.all([...inUse].map((client) => client.end())),
      () => undefined,
    );
    await ended;
    deadline.abort();
    await cut;
  }

  return {
    as: async (actor, work) => {
      const begin = buildBegin(actor);
      return withClient((client) => runTransaction(client, dialect, begin, work));
    },
    ping: async (signal) => {
      signal?.throwIfAborted();
      await raceAbort(
        withClient((client) => runStatement(client, "select 1")),
        signal,
      );
    },
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

/**
 * BEGIN and the actor in one message, because a second round trip would double the cost of a short transaction. The
 * simple protocol carries several statements but no parameters, so both values are checked against a closed form first.
 */
function buildBegin(actor: DatabaseActor): string {
  if (actor.userId !== null && !uuidPattern.test(actor.userId))
    throw new TypeError("An actor's user id must be a UUID or null.");
  if (!scopes.has(actor.scope))
    throw new TypeError(`An actor's scope must be one of ${[...scopes].join(", ")}.`);
  return `begin; select set_config('app.user_id', '${actor.userId ?? ""}', true), set_config('app.scope', '${actor.scope}', true)`;
}

async function runTransaction<T>(
  client: PoolClient,
  dialect: PgDialect,
  begin: string,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  await runStatement(client, begin);
  let ended = false;
  // A query that `work` forgot to await must not reach the connection when it already serves somebody else.
  const guarded: PoolClient = Object.create(client, {
    query: {
      value: (...args: Parameters<PoolClient["query"]>) => {
        if (ended) throw new Error("This transaction has ended. Await every query before the work returns.");
        return client.query(...args);
      },
    },
  });
  const session = new NodePgSession<Record<string, never>, Record<string, never>>(
    guarded,
    dialect,
    undefined,
  );
  let result: T;
  try {
    result = await work(new NodePgTransaction(dialect, session, undefined));
  } catch (error) {
    ended = true;
    if (!endsConnection(error)) await rollBack(client);
    throw translateDatabaseError(error);
  }
  ended = true;
  await commit(client);
  return result;
}

async function commit(client: PoolClient): Promise<void> {
  let command: string;
  try {
    ({ command } = await client.query("commit"));
  } catch (error) {
    if (error instanceof DatabaseError && !endsConnection(error)) throw translateDatabaseError(error);
    throw new DatabaseUnavailable(
      "connectionLost",
      "The connection to the database broke during COMMIT; whether the transaction was written is unknown.",
      { retryable: false, cause: error },
    );
  }
  // After a failed statement that `work` swallowed, PostgreSQL answers COMMIT with a rollback, and no error.
  if (command === "ROLLBACK") {
    throw new Error(
      "The transaction was rolled back: a statement failed and its error was swallowed. Use a savepoint (tx.transaction) around a statement that may fail.",
    );
  }
}

async function rollBack(client: PoolClient): Promise<void> {
  try {
    await client.query("rollback");
  } catch {
    // The error that led here says more; the connection is thrown away because its transaction is still open.
  }
}

/** For statements of ours outside `work`, where an error that is not the server's can only be the connection's. */
async function runStatement(client: PoolClient, text: string): Promise<void> {
  try {
    await client.query(text);
  } catch (error) {
    throw error instanceof DatabaseError ? translateDatabaseError(error) : connectionLost(error);
  }
}

async function checkOut(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    if (pool.ending) {
      throw new DatabaseUnavailable(
        "closed",
        "The database connections are closed: the process is shutting down.",
        { retryable: true },
      );
    }
    // node-postgres tells this one only by its text.
    if (error instanceof Error && error.message === "timeout exceeded when trying to connect") {
      throw new DatabaseUnavailable("poolExhausted", "All database connections are busy.", {
        retryable: true,
      });
    }
    throw new DatabaseUnavailable(
      "cannotConnect",
      "The database cannot be reached, or refuses the connection.",
      { retryable: true, cause: error },
    );
  }
}
