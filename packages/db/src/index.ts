export type { DatabaseTls } from "./connection.ts";
export { buildDatabaseUrl, parseDatabaseUrl, type DatabaseAddress } from "./database-url.ts";
export {
  openDatabase,
  type Database,
  type DatabaseActor,
  type DatabaseOptions,
  type Scope,
  type Transaction,
} from "./database.ts";
export {
  DatabaseQueryFailed,
  DatabaseUnavailable,
  SchemaMismatch,
  type DatabaseUnavailableReason,
} from "./errors.ts";
export { EmbeddedPostgresFailure, type EmbeddedPostgresFailureReason } from "./embedded/failure.ts";
export {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from "./embedded/start-embedded-postgres.ts";
export { openListener, type Listener, type ListenerOptions, type ListenerState } from "./listen.ts";
export { migrate, type MigrateOptions, type MigrationReport } from "./migrate.ts";
export { assertCurrentSchema, readSchemaState, type SchemaState } from "./schema-state.ts";
