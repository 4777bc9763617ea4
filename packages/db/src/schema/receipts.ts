import { bigint, boolean, jsonb, pgTable, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";
import { instances } from "./instances.ts";
import { users } from "./users.ts";

export interface Granted {
  tools: string[];
  hosts: string[];
}

/** Requests to one upstream host. Bytes as they left and reached the broker. */
export interface HostCounts {
  requests: number;
  denied: number;
  bytesOut: number;
  bytesIn: number;
}

/** What an instance did: written while it lives, closed when it ends. Counts only, never contents. */
export const receipts = pgTable("receipts", {
  instanceId: uuid("instance_id")
    .primaryKey()
    .references(() => instances.id, { onDelete: "cascade" }),
  userId: uuid("user_id")
    .notNull()
    .references(() => users.id, { onDelete: "cascade" }),
  /** Requests that reached the child. */
  calls: bigint("calls", { mode: "number" }).notNull().default(0),
  /** Requests refused at the gateway. */
  denials: bigint("denials", { mode: "number" }).notNull().default(0),
  /** Requests that the child did not answer. */
  failures: bigint("failures", { mode: "number" }).notNull().default(0),
  requestBytes: bigint("request_bytes", { mode: "number" }).notNull().default(0),
  responseBytes: bigint("response_bytes", { mode: "number" }).notNull().default(0),
  /** Calls by tool name. */
  toolCalls: jsonb("tool_calls").$type<Record<string, number>>().notNull().default({}),
  /** What it was allowed when it was created. */
  granted: jsonb("granted").$type<Granted>().notNull().default({ tools: [], hosts: [] }),
  /** Its calls to upstream hosts, by host. */
  hosts: jsonb("hosts").$type<Record<string, HostCounts>>().notNull().default({}),
  /** True when a node died while it held the instance: up to a second of counts may be missing. */
  incomplete: boolean("incomplete").notNull().default(false),
  updatedAt: instant("updated_at").notNull().defaultNow(),
  /** Set once, when the instance ends. */
  closedAt: instant("closed_at"),
});
