import { sql } from "drizzle-orm";
import { check, integer, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";

export const userRoles = ["user", "auditor", "admin"] as const;
export const userStatuses = ["active", "suspended"] as const;

/** A person who can sign in. */
export const users = pgTable(
  "users",
  {
    id: uuid("id").primaryKey(),
    /** Stored in lower case: it names the account at sign-in, and two spellings must not be two accounts. */
    email: text("email").notNull(),
    name: text("name").notNull(),
    role: text("role", { enum: userRoles }).notNull().default("user"),
    status: text("status", { enum: userStatuses }).notNull().default("active"),
    /** Raised at every change of privilege: an access token that carries an older epoch is refused. */
    tokenEpoch: integer("token_epoch").notNull().default(0),
    createdAt: instant("created_at").notNull().defaultNow(),
    /** Set when the account is deleted; the row goes 30 days later. */
    deletedAt: instant("deleted_at"),
  },
  (table) => [
    /** Sign-in looks an account up by its e-mail. A deleted account frees the address. */
    uniqueIndex("users_email_key")
      .on(table.email)
      .where(sql`${table.deletedAt} is null`),
    check("users_email_lower", sql`${table.email} = lower(${table.email})`),
    check("users_role_known", sql`${table.role} in ('user', 'auditor', 'admin')`),
    check("users_status_known", sql`${table.status} in ('active', 'suspended')`),
  ],
);
