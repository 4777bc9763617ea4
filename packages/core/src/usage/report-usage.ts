import { instances, receipts, users } from "@minimcp/db/schema";
import { type Column, count, desc, eq, gte, sql, sum } from "drizzle-orm";
import { z } from "zod";

import { type Context, overseer } from "../context.ts";

export const ReportUsage = z
  .strictObject({
    /** How far back the report goes from now. */
    days: z.int().min(1).max(366).default(7),
  })
  .prefault({});
export type ReportUsage = z.infer<typeof ReportUsage>;

/** What one user did with instances of one type. */
export interface UsageView {
  userId: string;
  email: string;
  type: string;
  /** Instances that were created in the time of the report. What follows is theirs, from their start to now. */
  instances: number;
  /** How long they served, in all. */
  minutes: number;
  /** Requests that reached them, that were refused before, and that they did not answer. */
  calls: number;
  denials: number;
  failures: number;
}

export interface UsageReport {
  days: number;
  /** By user and type, most calls first. */
  items: UsageView[];
}

/** PostgreSQL sums bigints up to a numeric, which node-postgres hands over as a string. */
function total(column: Column) {
  return sum(column).mapWith(Number);
}

/** Who used what, from the receipts of the instances that were created in the last days. */
export async function reportUsage(ctx: Context, input: ReportUsage): Promise<UsageReport> {
  const served = sql`extract(epoch from coalesce(${instances.endedAt}, now()) - ${instances.readyAt}) / 60`;
  const items = await ctx.db.as(overseer(ctx.principal), (tx) =>
    tx
      .select({
        userId: users.id,
        email: users.email,
        type: instances.typeId,
        instances: count(),
        minutes: sql`coalesce(round(sum(${served})), 0)`.mapWith(Number),
        calls: total(receipts.calls),
        denials: total(receipts.denials),
        failures: total(receipts.failures),
      })
      .from(instances)
      .innerJoin(receipts, eq(receipts.instanceId, instances.id))
      .innerJoin(users, eq(users.id, instances.userId))
      .where(gte(instances.createdAt, sql`now() - make_interval(days => ${input.days})`))
      .groupBy(users.id, instances.typeId)
      .orderBy(desc(sum(receipts.calls)), users.email, instances.typeId),
  );
  return { days: input.days, items };
}
