import { sql } from "drizzle-orm";
import { index, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";
import { users } from "./users.ts";

/**
 * Data-encryption keys, one live a user. Destroying the row makes everything sealed under it unreadable,
 * in backups too.
 */
export const userDataKeys = pgTable(
  "user_data_keys",
  {
    id: uuid("id").primaryKey(),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    /** The key, wrapped by the key-encryption key named beside it. */
    wrapped: bytea("wrapped").notNull(),
    /** Which key-encryption key opens it: rotation and the check at start read it. */
    kekKid: text("kek_kid").notNull(),
    createdAt: instant("created_at").notNull().defaultNow(),
    /** Set when a newer key has taken over; the old one still opens what it sealed. */
    supersededAt: instant("superseded_at"),
  },
  (table) => [
    /** Sealing looks up the user's live key; two at once must not both create one. */
    uniqueIndex("user_data_keys_one_live")
      .on(table.userId)
      .where(sql`${table.supersededAt} is null`),
    /** Which key-encryption keys are still needed. */
    index("user_data_keys_kek").on(table.kekKid),
  ],
);
