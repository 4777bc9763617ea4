import { setTimeout as delay } from "node:timers/promises";

import type { DatabaseActor, Transaction } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, eq, inArray, notInArray, type SQL, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, overseer, requireUser } from "../context.ts";
import { closedColumns, recordClosed } from "../lease/close-instance.ts";
import { type InstanceId, instanceNotFound } from "./get-instance.ts";
import type { InstanceEndReason } from "./instance-view.ts";
import { readReceipt, type ReceiptView } from "./receipt-view.ts";

/** How often a waiting revoke looks whether the worker has finished. */
const pollMs = 25;

/**
 * Ends one of the caller's instances. Its token is dead when this returns; the receipt is final once the worker has
 * ended everything, for which this waits a while. Ending what is over already gives its receipt again.
 * @throws NotFound (`mcp.notFound`), the same for an instance of somebody else
 */
export async function revokeInstance(ctx: Context, input: InstanceId): Promise<ReceiptView> {
  const { userId } = requireUser(ctx);
  return await end(ctx, databaseActor(ctx.principal), input.id, "mcp.revoke", eq(instances.userId, userId));
}

/**
 * Ends anybody's instance, for administrators.
 * @throws NotFound (`mcp.notFound`)
 */
export async function terminateInstance(ctx: Context, input: InstanceId): Promise<ReceiptView> {
  return await end(ctx, overseer(ctx.principal), input.id, "admin.instances.terminate", undefined);
}

async function end(
  ctx: Context,
  actor: DatabaseActor,
  id: string,
  action: string,
  owned: SQL | undefined,
): Promise<ReceiptView> {
  await ctx.db.as(actor, async (tx) => {
    const [known] = await tx
      .select({ id: instances.id })
      .from(instances)
      .where(and(eq(instances.id, id), owned));
    if (known === undefined) throw instanceNotFound();
    await stopInstances(tx, ctx, eq(instances.id, id), "revoked", action);
  });
  const patience = AbortSignal.any([ctx.signal, AbortSignal.timeout(ctx.settings.revokeWaitMs)]);
  for (;;) {
    const receipt = await ctx.db.as(actor, (tx) => readReceipt(tx, id));
    if (receipt === undefined) throw instanceNotFound();
    if (receipt.final || patience.aborted) return receipt;
    await delay(pollMs, undefined, { signal: patience }).catch(() => undefined);
  }
}

/**
 * Decides the end of live instances. From the commit on their tokens are dead; the worker that holds them ends the
 * rest and closes them. What no living node holds is closed here.
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
