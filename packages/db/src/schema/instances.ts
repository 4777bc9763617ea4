import { sql } from "drizzle-orm";
import { bigint, check, index, integer, jsonb, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { apiKeys } from "./api-keys.ts";
import { instant } from "./columns.ts";
import { nodes } from "./nodes.ts";
import { serverTypes } from "./server-types.ts";
import { users } from "./users.ts";

export const instanceStates = [
  "requested",
  "starting",
  "ready",
  "idle",
  "stopping",
  "ended",
  "failed",
] as const;
export const endReasons = [
  "expired",
  "revoked",
  "suspended",
  "keyDeleted",
  "lockdown",
  "memory",
  "cpu",
  "crashLoop",
  "accountDeleted",
] as const;

/** One endpoint with a deadline, and the lease by which a node owns it. */
export const instances = pgTable(
  "instances",
  {
    id: uuid("id").primaryKey(),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    typeId: text("type_id")
      .notNull()
      .references(() => serverTypes.id),
    /** Null for types that need no credential. */
    apiKeyId: uuid("api_key_id").references(() => apiKeys.id),
    label: text("label"),
    config: jsonb("config").$type<Record<string, string>>().notNull().default({}),
    state: text("state", { enum: instanceStates }).notNull().default("requested"),
    endReason: text("end_reason", { enum: endReasons }),
    /** Why it failed, in words for its owner. Never a path, never a driver's message. */
    failure: text("failure"),
    createdAt: instant("created_at").notNull().defaultNow(),
    /** The deadline. It belongs to the control plane: no process may outlive it, whatever is connected. */
    expiresAt: instant("expires_at").notNull(),
    /** How often the deadline was moved. A node that ends an instance says which deadline it means by this. */
    renewals: integer("renewals").notNull().default(0),
    readyAt: instant("ready_at"),
    endedAt: instant("ended_at"),
    /** The level and its parts that this instance really runs at, as probed; null until it first ran. */
    isolation: jsonb("isolation").$type<unknown>(),
    /** How often its process has been started. */
    starts: integer("starts").notNull().default(0),
    /** The owner's key for a retried create: the same key is the same instance. */
    idempotencyKey: text("idempotency_key"),

    /** The lease: which node owns the instance, in which of its lives, and until when. */
    nodeId: uuid("node_id").references(() => nodes.id, { onDelete: "set null" }),
    nodeEpoch: uuid("node_epoch"),
    /** Raised at each claim; whoever acts with an older one is refused. */
    fence: bigint("fence", { mode: "number" }).notNull().default(0),
    /** By the database's clock. After it any node may claim. */
    leaseUntil: instant("lease_until"),
    /** The claim under which its key was last opened, so that each claim leaves one audit event of that. */
    keyOpenedFence: bigint("key_opened_fence", { mode: "number" }),
  },
  (table) => [
    /** An owner's list, newest first. */
    index("instances_user_created").on(table.userId, table.createdAt),
    /** What a retried create finds. */
    uniqueIndex("instances_idempotency_key").on(table.userId, table.idempotencyKey),
    /** What a node may claim, and what is due: only the living rows, so the history costs nothing. */
    index("instances_live")
      .on(table.expiresAt)
      .where(sql`${table.state} not in ('ended', 'failed')`),
    /** What a node holds and renews each second. */
    index("instances_node_live")
      .on(table.nodeId)
      .where(sql`${table.state} not in ('ended', 'failed')`),
    /** Where a key is used, before it is deleted. */
    index("instances_api_key")
      .on(table.apiKeyId)
      .where(sql`${table.apiKeyId} is not null`),
    check(
      "instances_state_known",
      sql`${table.state} in ('requested', 'starting', 'ready', 'idle', 'stopping', 'ended', 'failed')`,
    ),
    check("instances_ended_has_reason", sql`${table.state} <> 'ended' or ${table.endReason} is not null`),
    check(
      "instances_end_has_time",
      sql`(${table.state} in ('ended', 'failed')) = (${table.endedAt} is not null)`,
    ),
    check(
      "instances_lifetime",
      sql`${table.expiresAt} > ${table.createdAt} and ${table.expiresAt} <= ${table.createdAt} + interval '30 days'`,
    ),
  ],
);
