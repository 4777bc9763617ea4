import { instances, receipts } from "@minimcp/db/schema";
import { and, count, eq, gte, lt, sql, sum } from "drizzle-orm";
import { z } from "zod";

import { type Context, databaseActor, requireUser } from "../context.ts";

export const ReportOwnUsage = z
  .strictObject({
    /** How many days, today included. */
    days: z.int().min(1).max(90).default(14),
  })
  .prefault({});
export type ReportOwnUsage = z.infer<typeof ReportOwnUsage>;

export interface DailyUsageView {
  /** `2026-03-31`, in UTC. */
  day: string;
  /** Instances that were created on that day. */
  instances: number;
  /** Requests that reached those instances, from their start to now. */
  calls: number;
}

export interface OwnUsageReport {
  /** Every day, the oldest first. */
  items: DailyUsageView[];
}

/** What the caller made of the last days, by the day. */
export async function reportOwnUsage(ctx: Context, input: ReportOwnUsage): Promise<OwnUsageReport> {
  const { userId } = requireUser(ctx);
  const today = sql`date_trunc('day', now() at time zone 'UTC')`;
  const firstDay = sql`${today} - make_interval(days => ${input.days - 1})`;
  const items = await ctx.db.as(databaseActor(ctx.principal), (tx) =>
    tx
      .select({
        day: sql<string>`to_char(day, 'YYYY-MM-DD')`,
        instances: count(instances.id),
        calls: sql`coalesce(${sum(receipts.calls)}, 0)`.mapWith(Number),
      })
      .from(sql`generate_series(${firstDay}, ${today}, interval '1 day') as day`)
      .leftJoin(
        instances,
        and(
          eq(instances.userId, userId),
          gte(instances.createdAt, sql`day at time zone 'UTC'`),
          lt(instances.createdAt, sql`(day + interval '1 day') at time zone 'UTC'`),
        ),
      )
      .leftJoin(receipts, eq(receipts.instanceId, instances.id))
      .groupBy(sql`day`)
      .orderBy(sql`day`),
  );
  return { items };
}
