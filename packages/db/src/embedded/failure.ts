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
