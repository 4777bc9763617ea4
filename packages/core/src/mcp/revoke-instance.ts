import { setTimeout as delay } from "node:timers/promises";

import type { DatabaseActor } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, eq, type SQL } from "drizzle-orm";

import { type Context, databaseActor, overseer, requireUser } from "../context.ts";
import { stopInstances } from "../lease/stop-instances.ts";
import { type InstanceId, instanceNotFound } from "./get-instance.ts";
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
