import * as schema from "@minimcp/db/schema";
import { getTableColumns, is, Table } from "drizzle-orm";

/**
 * The columns that hold a secret: bytes are sealed or wrapped keys and hashes of tokens, and a password's hash is text.
 * The fingerprint of a key is a keyed hash, made to be shown to the key's owner.
 */
export const secretColumns: readonly string[] = Object.values(schema)
  .filter((table) => is(table, Table))
  .flatMap((table) => Object.entries(getTableColumns(table)))
  .filter(([name, column]) => column.getSQLType() === "bytea" || name === "passwordHash")
  .filter(([name]) => name !== "fingerprint")
  .map(([name]) => name);
