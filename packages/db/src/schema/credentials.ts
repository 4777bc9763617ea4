import { pgTable, text, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";
import { users } from "./users.ts";

/** The password of a user, apart from `users` so that no query for a profile can carry it along. */
export const credentials = pgTable("credentials", {
  userId: uuid("user_id")
    .primaryKey()
    .references(() => users.id, { onDelete: "cascade" }),
  /** Argon2id in PHC string form; the parameters inside tell when a rehash is due. */
  passwordHash: text("password_hash").notNull(),
  changedAt: instant("changed_at").notNull().defaultNow(),
});
