import type { Transaction } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, inArray, notInArray, type SQL, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import type { Context } from "../context.ts";
import type { InstanceEndReason } from "../mcp/instance-view.ts";
import { closedColumns, recordClosed } from "./close-instance.ts";

/**
 * Decides the end of live instances, for whatever reason: a revoke, a deleted key, a suspension, a lockdown. From the
 * commit on their tokens are dead and their keys are released to nobody; the worker that holds them ends the rest and
 * closes them. What no living node holds is closed here.
 * @param which of the instances that the transaction's actor may see
 * @param action as the audit trail calls it, once an instance
 */
export async function stopInstances(
  tx: Transaction,
  ctx: Pick<Context, "request">,
  which: SQL,
  reason: InstanceEndReason,
  action: string,
): Promise<void> {
  const live = await tx
    .select({
      id: instances.id,
      held: sql<boolean>`coalesce(${instances.leaseUntil} > now(), false)`,
    })
    .from(instances)
    .where(and(which, notInArray(instances.state, ["stopping", "ended", "failed"])))
    .for("update");
  for (const instance of live) {
    await appendAudit(tx, ctx.request, {
      action,
      resourceType: "instance",
      resourceId: instance.id,
      newValue: { endReason: reason },
    });
  }
  const held = live.filter((instance) => instance.held).map((instance) => instance.id);
  const free = live.filter((instance) => !instance.held).map((instance) => instance.id);
  if (held.length > 0) {
    await tx
      .update(instances)
      .set({ state: "stopping", endReason: reason })
      .where(inArray(instances.id, held));
  }
  if (free.length > 0) {
    const closed = await tx
      .update(instances)
      .set({ state: "ended", endReason: reason, endedAt: sql`now()` })
      .where(inArray(instances.id, free))
      .returning(closedColumns);
    await recordClosed(tx, closed, ctx.request);
  }
}
