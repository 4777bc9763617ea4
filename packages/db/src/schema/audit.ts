import { sql } from "drizzle-orm";
import { check, index, inet, jsonb, pgSchema, text, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";

export const auditSchema = pgSchema("audit");
export const auditResults = ["success", "denied", "failure"] as const;

/**
 * Who did what. Rows come only from the SQL function `audit.append()`: no role of the product may write the
 * table, and a trigger stops even its owner from changing or removing a row.
 */
export const auditEvents = auditSchema.table(
  "events",
  {
    id: uuid("id").primaryKey(),
    timestamp: instant("timestamp").notNull(),
    /** Null for the system and for callers nobody has identified. No foreign key: the trail outlives the account. */
    userId: uuid("user_id"),
    action: text("action").notNull(),
    resourceType: text("resource_type").notNull(),
    resourceId: text("resource_id"),
    oldValue: jsonb("old_value").$type<unknown>(),
    newValue: jsonb("new_value").$type<unknown>(),
    ipAddress: inet("ip_address"),
    userAgent: text("user_agent"),
    result: text("result", { enum: auditResults }).notNull(),
    errorMessage: text("error_message"),
    requestId: text("request_id"),
  },
  (table) => [
    /** The trail of one user, newest first. */
    index("audit_events_user").on(table.userId, table.timestamp),
    /** The trail of one thing. */
    index("audit_events_resource").on(table.resourceType, table.resourceId),
    check("audit_events_result_known", sql`${table.result} in ('success', 'denied', 'failure')`),
  ],
);
