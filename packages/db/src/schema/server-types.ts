import { boolean, jsonb, pgTable, text } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";

/** A kind of MCP server that can be started. The declaration is data: adding a type adds a row, not code. */
export const serverTypes = pgTable("server_types", {
  /** What users write: `everything`, `github`. */
  id: text("id").primaryKey(),
  version: text("version").notNull(),
  /** Everything the control plane and the worker need to know of it; its shape is checked where it is written. */
  declaration: jsonb("declaration").$type<unknown>().notNull(),
  /** A disabled type starts nothing new; what runs goes on to its deadline. */
  enabled: boolean("enabled").notNull().default(true),
  updatedAt: instant("updated_at").notNull().defaultNow(),
});
