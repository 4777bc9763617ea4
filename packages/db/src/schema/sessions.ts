import { sql } from "drizzle-orm";
import { check, index, inet, integer, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";
import { users } from "./users.ts";

export const sessionEndReasons = [
  "signedOut",
  "signedOutEverywhere",
  "refreshReuse",
  "superseded",
  "suspended",
] as const;

/**
 * One sign-in. Access tokens name it in `sid`, and a session bearer is looked up in it, so ending the row ends every
 * credential that came from it.
 */
export const sessions = pgTable(
  "sessions",
  {
    id: uuid("id").primaryKey(),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    createdAt: instant("created_at").notNull().defaultNow(),
    /** The last sign-in or refresh, and for a bearer its use to the minute: so that reading mostly stays reading. */
    lastSeenAt: instant("last_seen_at").notNull().defaultNow(),
    /** The session is dead after this unless it is used. */
    idleExpiresAt: instant("idle_expires_at").notNull(),
    /** The session is dead after this however much it is used. */
    absoluteExpiresAt: instant("absolute_expires_at").notNull(),
    ipAddress: inet("ip_address"),
    userAgent: text("user_agent"),
    endedAt: instant("ended_at"),
    endReason: text("end_reason", { enum: sessionEndReasons }),
    /** SHA-256 of the `mss_…` bearer of a sign-in that asked for one in place of tokens. 256 random bits need no slow hash. */
    bearerHash: bytea("bearer_hash"),
    /** The account's epoch at that sign-in: a change of privilege since then ends the bearer. */
    bearerEpoch: integer("bearer_epoch"),
  },
  (table) => [
    /** Listing and capping a user's live sessions, oldest first. */
    index("sessions_user_live")
      .on(table.userId, table.createdAt)
      .where(sql`${table.endedAt} is null`),
    /** Each call with a session bearer looks it up by its hash. */
    uniqueIndex("sessions_bearer_key")
      .on(table.bearerHash)
      .where(sql`${table.bearerHash} is not null`),
    check("sessions_bearer_has_epoch", sql`(${table.bearerHash} is null) = (${table.bearerEpoch} is null)`),
    check("sessions_end_has_reason", sql`(${table.endedAt} is null) = (${table.endReason} is null)`),
  ],
);
