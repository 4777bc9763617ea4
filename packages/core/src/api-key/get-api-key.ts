import { apiKeys } from "@minimcp/db/schema";
import { and, eq, isNull } from "drizzle-orm";
import { z } from "zod";

import { type Context, databaseActor, requireUser } from "../context.ts";
import { NotFound } from "../errors.ts";
import { apiKeyColumns, type ApiKeyView } from "./api-key-view.ts";

export const ApiKeyId = z.strictObject({ id: z.uuid() });
export type ApiKeyId = z.infer<typeof ApiKeyId>;

/**
 * One of the caller's keys.
 * @throws NotFound (`apiKey.notFound`), the same for a key of somebody else
 */
export async function getApiKey(ctx: Context, input: ApiKeyId): Promise<ApiKeyView> {
  const { userId } = requireUser(ctx);
  const [view] = await ctx.db.as(databaseActor(ctx.principal), (tx) =>
    tx
      .select(apiKeyColumns)
      .from(apiKeys)
      .where(and(eq(apiKeys.id, input.id), eq(apiKeys.userId, userId), isNull(apiKeys.deletedAt))),
  );
  if (view === undefined) throw apiKeyNotFound();
  return view;
}

export function apiKeyNotFound(): NotFound {
  return new NotFound("apiKey.notFound", "You have no such API key.");
}
