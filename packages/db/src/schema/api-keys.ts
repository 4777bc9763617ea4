import { sql } from "drizzle-orm";
import { check, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";
import { userDataKeys } from "./user-data-keys.ts";
import { users } from "./users.ts";

export const apiKeyProviders = ["github", "figma", "google"] as const;

/** A user's credential for an upstream service. Written by the API, opened only by the worker. */
export const apiKeys = pgTable(
  "api_keys",
  {
    id: uuid("id").primaryKey(),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    provider: text("provider", { enum: apiKeyProviders }).notNull(),
    /** What the owner calls it. */
    label: text("label").notNull(),
    /** The sealed secret (see the vault). Emptied at once when the key is deleted. The API's role cannot read it. */
    sealed: bytea("sealed"),
    dataKeyId: uuid("data_key_id")
      .notNull()
      .references(() => userDataKeys.id),
    /** The last four characters, so that the owner can tell two keys apart. */
    hint: text("hint").notNull(),
    /** Keyed hash of the secret: tells that the same secret is stored twice, without telling what it is. */
    fingerprint: bytea("fingerprint").notNull(),
    createdAt: instant("created_at").notNull().defaultNow(),
    lastUsedAt: instant("last_used_at"),
    deletedAt: instant("deleted_at"),
  },
  (table) => [
    /** A label names one live key of its owner: `--key work` must not be ambiguous. Also lists an owner's keys. */
    uniqueIndex("api_keys_label_key")
      .on(table.userId, table.label)
      .where(sql`${table.deletedAt} is null`),
    check("api_keys_provider_known", sql`${table.provider} in ('github', 'figma', 'google')`),
    check("api_keys_sealed_while_live", sql`(${table.deletedAt} is null) = (${table.sealed} is not null)`),
  ],
);
