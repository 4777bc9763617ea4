import { instances, instanceTokens, receipts } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";
import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, requireUser } from "../context.ts";
import { Conflict, InvalidInput, LimitReached } from "../errors.ts";
import { instanceNotFound } from "./get-instance.ts";
import { instanceColumns, type InstanceView, latestEndOf, viewInstance } from "./instance-view.ts";
import { LifetimeMinutes } from "./lifetime-minutes.ts";

export const RenewInstance = z.strictObject({
  id: z.uuid(),
  /** How much longer it lives, counted from now, so that a call that is sent twice adds nothing. */
  minutes: LifetimeMinutes,
});
export type RenewInstance = z.infer<typeof RenewInstance>;

/**
 * Moves the deadline of a live instance. Its address, its token and its process stay as they are.
 * @throws NotFound `mcp.notFound`, the same for an instance of somebody else
 * @throws Conflict `mcp.over`: at the deadline and after it there is nothing left to renew
 * @throws InvalidInput `mcp.renewalTooShort` when it lives that long already
 * @throws LimitReached `mcp.renewalsUsedUp`, `mcp.lifetimeLimit`
 */
export async function renewInstance(ctx: Context, input: RenewInstance): Promise<InstanceView> {
  const { userId } = requireUser(ctx);
  return await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    // Locked, and by the clock behind the lock: the one who ends it waits for this, or this finds it ended.
    const [locked] = await tx
      .select({ id: instances.id })
      .from(instances)
      .where(and(eq(instances.id, input.id), eq(instances.userId, userId)))
      .for("update");
    if (locked === undefined) throw instanceNotFound();
    const [known] = await tx
      .select({
        state: instances.state,
        createdAt: instances.createdAt,
        expiresAt: instances.expiresAt,
        renewals: instances.renewals,
        isDue: sql<boolean>`${instances.expiresAt} <= clock_timestamp()`,
        deadline: sql`clock_timestamp() + make_interval(mins => ${input.minutes})`.mapWith(
          instances.expiresAt,
        ),
      })
      .from(instances)
      .where(eq(instances.id, input.id));
    if (known === undefined) throw instanceNotFound();
    if (["stopping", "ended", "failed"].includes(known.state) || known.isDue) {
      throw new Conflict("mcp.over", "This instance is over. Create a new one.");
    }
    checkLimits(ctx, known);
    await tx
      .update(instances)
      .set({ expiresAt: known.deadline, renewals: known.renewals + 1 })
      .where(eq(instances.id, input.id));
    // One that was replaced already ends when that said so.
    await tx
      .update(instanceTokens)
      .set({ expiresAt: known.deadline })
      .where(and(eq(instanceTokens.instanceId, input.id), isNull(instanceTokens.revokedAt)));
    await appendAudit(tx, ctx.request, {
      action: "mcp.renew",
      resourceType: "instance",
      resourceId: input.id,
      oldValue: { expiresAt: known.expiresAt },
      newValue: { expiresAt: known.deadline, renewals: known.renewals + 1 },
    });
    const [row] = await tx
      .select(instanceColumns)
      .from(instances)
      .innerJoin(receipts, eq(receipts.instanceId, instances.id))
      .where(eq(instances.id, input.id));
    if (row === undefined) throw new Error("a renewed instance is not there");
    return viewInstance(row, ctx.settings);
  });
}

function checkLimits(
  { settings }: Context,
  instance: { createdAt: Date; expiresAt: Date; renewals: number; deadline: Date },
): void {
  if (instance.deadline <= instance.expiresAt) {
    throw new InvalidInput(
      "mcp.renewalTooShort",
      `It lives until ${instance.expiresAt.toISOString()} already. Minutes are counted from now: give more.`,
      { issues: [{ path: ["minutes"], message: "would end it no later than it ends already" }] },
    );
  }
  if (instance.renewals >= settings.renewalsPerInstance) {
    throw new LimitReached(
      "mcp.renewalsUsedUp",
      `An instance can be renewed ${settings.renewalsPerInstance} times, and this one was. Create a new one.`,
    );
  }
  const latest = latestEndOf(instance, settings);
  if (instance.deadline > latest) {
    throw new LimitReached(
      "mcp.lifetimeLimit",
      `With all renewals an instance lives at most ${settings.renewedLifetimeMinutes} minutes, this one until ${latest.toISOString()}. Give fewer minutes, or create a new one.`,
      { issues: [{ path: ["minutes"], message: `would go beyond ${latest.toISOString()}` }] },
    );
  }
}
