import { customType, timestamp } from "drizzle-orm/pg-core";

/** Raw bytes. node-postgres hands them over as a Buffer. */
export const bytea = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => "bytea" });

/**
 * A point in time. Always with a zone, so that a server in another zone reads the same instant; in milliseconds, so
 * that it comes back from JavaScript as it went out.
 */
export function instant(name: string) {
  return timestamp(name, { withTimezone: true, mode: "date", precision: 3 });
}
