import { sessions, users } from "@minimcp/db/schema";
import { and, eq, gt, isNull, sql } from "drizzle-orm";

/** Not over, and of somebody who may sign in. For a query of sessions joined with their users. */
export const isLiveSession = and(
  isNull(sessions.endedAt),
  gt(sessions.idleExpiresAt, sql`now()`),
  gt(sessions.absoluteExpiresAt, sql`now()`),
  eq(users.status, "active"),
  isNull(users.deletedAt),
);
