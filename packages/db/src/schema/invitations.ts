import { sql } from "drizzle-orm";
import { boolean, check, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";
import { userRoles, users } from "./users.ts";

/** A single-use permission to sign up. */
export const invitations = pgTable(
  "invitations",
  {
    id: uuid("id").primaryKey(),
    /** SHA-256 of the code; the code itself is shown once. */
    codeHash: bytea("code_hash").notNull(),
    /** When set, only this address can use the invitation. */
    email: text("email"),
    role: text("role", { enum: userRoles }).notNull().default("user"),
    /** Made by the installation for its first administrator; void as soon as there is another one or an administrator. */
    forSetUp: boolean("for_set_up").notNull().default(false),
    createdBy: uuid("created_by").references(() => users.id, { onDelete: "set null" }),
    createdAt: instant("created_at").notNull().defaultNow(),
    expiresAt: instant("expires_at").notNull(),
    usedAt: instant("used_at"),
    usedBy: uuid("used_by").references(() => users.id, { onDelete: "set null" }),
  },
  (table) => [
    /** Sign-up looks the invitation up by its code. */
    uniqueIndex("invitations_code_key").on(table.codeHash),
    check("invitations_role_known", sql`${table.role} in ('user', 'auditor', 'admin')`),
  ],
);
