import { integer, jsonb, pgTable, text, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";

/** A worker process and the address at which other nodes reach its gateway. */
export const nodes = pgTable("nodes", {
  /** Stays the same over restarts of one worker, so that it finds what it held. */
  id: uuid("id").primaryKey(),
  /** New at each start: what an older epoch held is free to be claimed at once. */
  epoch: uuid("epoch").notNull(),
  address: text("address").notNull(),
  /** The level that the node's boot probe measured. */
  isolation: jsonb("isolation").$type<unknown>().notNull(),
  /** How many instances it holds at most. */
  capacity: integer("capacity").notNull().default(100),
  startedAt: instant("started_at").notNull().defaultNow(),
  /** By the database's clock; a node that has not renewed it is gone. */
  aliveUntil: instant("alive_until").notNull(),
});
