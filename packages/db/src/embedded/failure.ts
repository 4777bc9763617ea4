/**
 * - `inUse`: another process runs the database of this home.
 * - `notInstalled`: there is no PostgreSQL for this platform among the installed packages.
 * - `unusableHome`: wrong owner, wrong permissions, or a path that cannot work.
 * - `otherVersion`: the data belongs to another major version of PostgreSQL.
 * - `cannotInitialise`, `cannotStart`, `cannotStop`: the message holds what PostgreSQL said.
 */
export type EmbeddedPostgresFailureReason =
  | "inUse"
  | "notInstalled"
  | "unusableHome"
  | "otherVersion"
  | "cannotInitialise"
  | "cannotStart"
  | "cannotStop";

/** Why the embedded database is not running; the message says what to do. */
export class EmbeddedPostgresFailure extends Error {
  override readonly name = "EmbeddedPostgresFailure";
  readonly reason: EmbeddedPostgresFailureReason;

  constructor(reason: EmbeddedPostgresFailureReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** The system did not start PostgreSQL's program at all: no right to change the user, no glibc, a disk mounted noexec. */
export function cannotRun(program: string, error: unknown): EmbeddedPostgresFailure {
  return new EmbeddedPostgresFailure(
    "cannotStart",
    `PostgreSQL cannot be run (${program}): ${describeError(error)}. It needs a system with glibc, and root needs the right to change to another user. Otherwise set DATABASE_URL to a server of your own.`,
    { cause: error },
  );
}

export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
