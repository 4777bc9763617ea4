import { instances } from "@minimcp/db/schema";
import { and, eq } from "drizzle-orm";

import { type Context, databaseActor, requireUser } from "../context.ts";
import { type InstanceId, instanceNotFound } from "./get-instance.ts";
import { readReceipt, type ReceiptView } from "./receipt-view.ts";

/**
 * What one of the caller's instances was allowed, and what it has done so far.
 * @throws NotFound (`mcp.notFound`), the same for an instance of somebody else
 */
export async function getReceipt(ctx: Context, input: InstanceId): Promise<ReceiptView> {
  const { userId } = requireUser(ctx);
  return await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    const [own] = await tx
      .select({ id: instances.id })
      .from(instances)
      .where(and(eq(instances.id, input.id), eq(instances.userId, userId)));
    const receipt = own && (await readReceipt(tx, own.id));
    if (receipt === undefined) throw instanceNotFound();
    return receipt;
  });
}
