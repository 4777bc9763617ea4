import { index, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";
import { instances } from "./instances.ts";
import { users } from "./users.ts";

/** The `mcp_…` bearer tokens of an instance. Several only while one is rolled over to the next. */
export const instanceTokens = pgTable(
  "instance_tokens",
  {
    id: uuid("id").primaryKey(),
    instanceId: uuid("instance_id")
      .notNull()
      .references(() => instances.id, { onDelete: "cascade" }),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    /** SHA-256 of the token: it is shown once and stored nowhere. */
    tokenHash: bytea("token_hash").notNull(),
    /** The first characters, so that an owner can tell which token a client holds. */
    start: text("start").notNull(),
    createdAt: instant("created_at").notNull().defaultNow(),
    /** Never null: a token without an end must not be storable. */
    expiresAt: instant("expires_at").notNull(),
    /** Once it is set the token is dead, whatever the time. One that may still be used for a while ends by `expiresAt`. */
    revokedAt: instant("revoked_at"),
  },
  (table) => [
    /** The gateway looks a token up by its hash. */
    uniqueIndex("instance_tokens_hash_key").on(table.tokenHash),
    /** Ending or rolling an instance's tokens. */
    index("instance_tokens_instance").on(table.instanceId),
  ],
);
