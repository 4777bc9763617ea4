import { instances, receipts } from "@minimcp/db/schema";
import { and, eq } from "drizzle-orm";
import { z } from "zod";

import { type Context, databaseActor, requireUser } from "../context.ts";
import { NotFound } from "../errors.ts";
import { instanceColumns, type InstanceView, viewInstance } from "./instance-view.ts";

export const InstanceId = z.strictObject({ id: z.uuid() });
export type InstanceId = z.infer<typeof InstanceId>;

/**
 * One of the caller's instances.
 * @throws NotFound (`mcp.notFound`), the same for an instance of somebody else
 */
export async function getInstance(ctx: Context, input: InstanceId): Promise<InstanceView> {
  const { userId } = requireUser(ctx);
  const [row] = await ctx.db.as(databaseActor(ctx.principal), (tx) =>
    tx
      .select(instanceColumns)
      .from(instances)
      .innerJoin(receipts, eq(receipts.instanceId, instances.id))
      .where(and(eq(instances.id, input.id), eq(instances.userId, userId))),
  );
  if (row === undefined) throw instanceNotFound();
  return viewInstance(row, ctx.settings);
}

export function instanceNotFound(): NotFound {
  return new NotFound("mcp.notFound", "You have no such instance.");
}
