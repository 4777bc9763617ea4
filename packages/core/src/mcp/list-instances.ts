import { instances, receipts } from "@minimcp/db/schema";
import { and, desc, eq, not } from "drizzle-orm";
import { z } from "zod";

import { type Context, databaseActor, overseer, requireUser } from "../context.ts";
import { isLive } from "../lease/lease.ts";
import { olderThan, type Page, PageInput, toPage } from "../page.ts";
import {
  instanceColumns,
  type InstanceView,
  type OverseenInstanceView,
  viewInstance,
} from "./instance-view.ts";

export const ListInstances = PageInput.extend({
  /** Only those that are not over. */
  live: z.boolean().default(false),
  /** Only those that are. */
  over: z.boolean().default(false),
}).prefault({});
export type ListInstances = z.infer<typeof ListInstances>;

function matches(input: ListInstances) {
  return and(
    input.live ? isLive : undefined,
    input.over ? not(isLive) : undefined,
    olderThan(instances, input.cursor),
  );
}

/** The caller's instances, newest first. */
export async function listInstances(ctx: Context, input: ListInstances): Promise<Page<InstanceView>> {
  const { userId } = requireUser(ctx);
  const rows = await ctx.db.as(databaseActor(ctx.principal), (tx) =>
    tx
      .select(instanceColumns)
      .from(instances)
      .innerJoin(receipts, eq(receipts.instanceId, instances.id))
      .where(and(eq(instances.userId, userId), matches(input)))
      .orderBy(desc(instances.createdAt), desc(instances.id))
      .limit(input.limit + 1),
  );
  return toPage(
    rows.map((row) => viewInstance(row, ctx.settings)),
    input.limit,
  );
}

/** Everybody's instances, newest first, for administrators. */
export async function listAllInstances(
  ctx: Context,
  input: ListInstances,
): Promise<Page<OverseenInstanceView>> {
  const rows = await ctx.db.as(overseer(ctx.principal), (tx) =>
    tx
      .select({ ...instanceColumns, userId: instances.userId, nodeId: instances.nodeId })
      .from(instances)
      .innerJoin(receipts, eq(receipts.instanceId, instances.id))
      .where(matches(input))
      .orderBy(desc(instances.createdAt), desc(instances.id))
      .limit(input.limit + 1),
  );
  return toPage(
    rows.map((row) => viewInstance(row, ctx.settings)),
    input.limit,
  );
}
