import { sql } from "drizzle-orm";
import { check, jsonb, pgTable, text, uniqueIndex } from "drizzle-orm/pg-core";

import { bytea, instant } from "./columns.ts";

export const signingKeyStates = ["active", "verifying", "retired"] as const;

/** Ed25519 pairs that sign access tokens. One is active; older ones still verify what they signed. */
export const signingKeys = pgTable(
  "signing_keys",
  {
    /** The `kid` in a token's header. */
    kid: text("kid").primaryKey(),
    state: text("state", { enum: signingKeyStates }).notNull(),
    publicJwk: jsonb("public_jwk").$type<{ kty: string; crv: string; x: string }>().notNull(),
    /** The private key, wrapped by the key-encryption key named beside it. */
    privateWrapped: bytea("private_wrapped").notNull(),
    kekKid: text("kek_kid").notNull(),
    createdAt: instant("created_at").notNull().defaultNow(),
  },
  (table) => [
    /** Never two keys that sign. */
    uniqueIndex("signing_keys_one_active")
      .on(table.state)
      .where(sql`${table.state} = 'active'`),
    check("signing_keys_state_known", sql`${table.state} in ('active', 'verifying', 'retired')`),
  ],
);
