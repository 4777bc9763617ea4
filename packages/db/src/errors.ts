import { DrizzleQueryError } from "drizzle-orm/errors";
import { DatabaseError } from "pg";

/**
 * - `poolExhausted`: no connection became free in time.
 * - `cannotConnect`: refused, unreachable, wrong certificate, or sign-in rejected.
 * - `connectionLost`: the connection broke while a transaction was open, or its end was not answered.
 * - `timeout`: the server cancelled a statement, or a lock was not granted in time.
 * - `conflict`: a deadlock or serialization failure; running the transaction again is the remedy.
 * - `overloaded`: the server is short of memory, disk or connections, or read-only.
 * - `closed`: this process is shutting down.
 */
export type DatabaseUnavailableReason =
  | "poolExhausted"
  | "cannotConnect"
  | "connectionLost"
  | "timeout"
  | "conflict"
  | "overloaded"
  | "closed";

/** The database could not do its work now: a 503 to a client. The message is for operators; show clients neither it nor the cause. */
export class DatabaseUnavailable extends Error {
  override readonly name = "DatabaseUnavailable";
  readonly reason: DatabaseUnavailableReason;
  /**
   * True when it is certain that nothing was written, so the whole transaction may run again.
   * False only when the connection broke between COMMIT and its answer: it may have been committed.
   */
  readonly retryable: boolean;

  constructor(
    reason: DatabaseUnavailableReason,
    message: string,
    options: { retryable: boolean; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.retryable = options.retryable;
  }
}

/**
 * The server refused a statement: a violated constraint, a missing privilege, a malformed value.
 *
 * It replaces the driver's error, which must not reach a log: Drizzle's message lists the parameters, and the server's
 * `detail` quotes the row.
 */
export class DatabaseQueryFailed extends Error {
  override readonly name = "DatabaseQueryFailed";
  /** SQLSTATE, PostgreSQL appendix A. */
  readonly code: string;
  readonly constraint: string | undefined;
  readonly table: string | undefined;
  /** The statement with `$1` in place of values, where Drizzle built it. */
  readonly statement: string | undefined;

  constructor(error: DatabaseError, statement: string | undefined) {
    const code = error.code ?? "XX000";
    const parts = [
      error.table && `table ${error.table}`,
      error.constraint && `constraint ${error.constraint}`,
      // Class 42 (syntax, privileges) speaks about the statement and P0 is raised by our own functions;
      // other classes quote values.
      /^(?:42|P0)/.test(code) && error.message,
    ].filter(Boolean);
    super(
      `The database refused a statement (SQLSTATE ${code}${parts.length > 0 ? `: ${parts.join(", ")}` : ""}).`,
    );
    this.code = code;
    this.constraint = error.constraint;
    this.table = error.table;
    this.statement = statement;
  }
}

/** The database holds a schema that this version of the code cannot work with. */
export class SchemaMismatch extends Error {
  override readonly name = "SchemaMismatch";
  readonly status: "newer" | "older" | "drifted";

  constructor(status: "newer" | "older" | "drifted", message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Translates what the driver or Drizzle threw; any other error (one of ours, thrown inside a transaction) is returned
 * as it is.
 */
export function translateDatabaseError(error: unknown): unknown {
  const cause = error instanceof DrizzleQueryError ? error.cause : error;
  if (endsConnection(error)) return connectionLost(cause);
  if (!(cause instanceof DatabaseError)) return error;
  const code = cause.code ?? "";
  if (code === "57014" || code === "55P03") {
    return new DatabaseUnavailable("timeout", `The database took too long (SQLSTATE ${code}).`, {
      retryable: true,
    });
  }
  if (code === "40001" || code === "40P01") {
    return new DatabaseUnavailable("conflict", `Two transactions collided (SQLSTATE ${code}).`, {
      retryable: true,
    });
  }
  if (code.startsWith("53") || code === "25006") {
    return new DatabaseUnavailable("overloaded", `The database cannot take work now (SQLSTATE ${code}).`, {
      retryable: true,
    });
  }
  return new DatabaseQueryFailed(cause, error instanceof DrizzleQueryError ? error.query : undefined);
}

/** The connection broke before COMMIT was sent: nothing was written. */
export function connectionLost(cause: unknown): DatabaseUnavailable {
  return new DatabaseUnavailable(
    "connectionLost",
    "The connection to the database broke; the transaction was not written.",
    {
      retryable: true,
      cause,
    },
  );
}

/** Whether the connection that gave this error must not be used again. */
export function endsConnection(error: unknown): boolean {
  const cause = error instanceof DrizzleQueryError ? error.cause : error;
  if (cause instanceof DatabaseError) {
    // Class 08 (connection exception), shutdown and crash (57P01 to 57P05), a transaction ended by the server for idling.
    return /^(?:08|57P0[1-5]|25P0[34])/.test(cause.code ?? "");
  }
  return (
    cause instanceof Error &&
    // node-postgres tells these only by their text.
    (/^(?:Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout)/.test(
      cause.message,
    ) ||
      ("syscall" in cause && cause !== error))
  );
}
