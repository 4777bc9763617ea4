import { apiKeys, instances } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, requireUser } from "../context.ts";
import { stopInstances } from "../lease/stop-instances.ts";
import { type ApiKeyId, apiKeyNotFound } from "./get-api-key.ts";

/**
 * Deletes a key: its sealed secret is wiped at once, and every instance that uses it ends with it.
 * @throws NotFound (`apiKey.notFound`), the same for a key of somebody else
 */
export async function deleteApiKey(ctx: Context, input: ApiKeyId): Promise<Record<string, never>> {
  const { userId } = requireUser(ctx);
  await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    const [deleted] = await tx
      .update(apiKeys)
      .set({ deletedAt: sql`now()`, sealed: null })
      .where(and(eq(apiKeys.id, input.id), eq(apiKeys.userId, userId), isNull(apiKeys.deletedAt)))
      .returning({ id: apiKeys.id, provider: apiKeys.provider, label: apiKeys.label });
    if (deleted === undefined) throw apiKeyNotFound();
    await stopInstances(tx, ctx, eq(instances.apiKeyId, deleted.id), "keyDeleted", "apiKey.delete.instance");
    await appendAudit(tx, ctx.request, {
      action: "apiKey.delete",
      resourceType: "apiKey",
      resourceId: deleted.id,
      oldValue: { provider: deleted.provider, label: deleted.label },
    });
  });
  return {};
}
