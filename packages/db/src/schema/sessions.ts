import { sql } from "drizzle-orm";
import { check, index, inet, pgTable, text, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";
import { users } from "./users.ts";

export const sessionEndReasons = [
  "signedOut",
  "signedOutEverywhere",
  "refreshReuse",
  "superseded",
  "suspended",
] as const;

/** One sign-in. Access tokens name it in `sid`, so ending the row ends every token that came from it. */
export const sessions = pgTable(
  "sessions",
  {
    id: uuid("id").primaryKey(),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    createdAt: instant("created_at").notNull().defaultNow(),
    /** The last refresh or sign-in; not every call, so that reading stays reading. */
    lastSeenAt: instant("last_seen_at").notNull().defaultNow(),
    /** The session is dead after this unless it is used. */
    idleExpiresAt: instant("idle_expires_at").notNull(),
    /** The session is dead after this however much it is used. */
    absoluteExpiresAt: instant("absolute_expires_at").notNull(),
    ipAddress: inet("ip_address"),
    userAgent: text("user_agent"),
    endedAt: instant("ended_at"),
    endReason: text("end_reason", { enum: sessionEndReasons }),
  },
  (table) => [
    /** Listing and capping a user's live sessions, oldest first. */
    index("sessions_user_live")
      .on(table.userId, table.createdAt)
      .where(sql`${table.endedAt} is null`),
    check("sessions_end_has_reason", sql`(${table.endedAt} is null) = (${table.endReason} is null)`),
  ],
);
