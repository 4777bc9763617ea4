import { apiKeys } from "@minimcp/db/schema";
import { and, asc, eq, isNull } from "drizzle-orm";

import { type Context, databaseActor, requireUser } from "../context.ts";
import { apiKeyColumns, type ApiKeyView } from "./api-key-view.ts";

/** The caller's keys, by label. */
export async function listApiKeys(ctx: Context): Promise<{ items: ApiKeyView[] }> {
  const { userId } = requireUser(ctx);
  const items = await ctx.db.as(databaseActor(ctx.principal), (tx) =>
    tx
      .select(apiKeyColumns)
      .from(apiKeys)
      .where(and(eq(apiKeys.userId, userId), isNull(apiKeys.deletedAt)))
      .orderBy(asc(apiKeys.label)),
  );
  return { items };
}
