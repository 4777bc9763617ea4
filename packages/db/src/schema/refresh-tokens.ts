import { index, pgTable, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";
import { sessions } from "./sessions.ts";
import { users } from "./users.ts";

/**
 * Refresh tokens, one family a session. Each is used once and names its successor; a second use of one is
 * the sign of a stolen copy and ends the session (RFC 9700 section 4.14.2).
 */
export const refreshTokens = pgTable(
  "refresh_tokens",
  {
    id: uuid("id").primaryKey(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => sessions.id, { onDelete: "cascade" }),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    /** SHA-256 of the token. 256 random bits need no slow hash. */
    tokenHash: bytea("token_hash").notNull(),
    createdAt: instant("created_at").notNull().defaultNow(),
    expiresAt: instant("expires_at").notNull(),
    usedAt: instant("used_at"),
    replacedBy: uuid("replaced_by"),
  },
  (table) => [
    /** A refresh looks the token up by its hash. */
    uniqueIndex("refresh_tokens_hash_key").on(table.tokenHash),
    /** Deleting a session takes its family along. */
    index("refresh_tokens_session").on(table.sessionId),
  ],
);
