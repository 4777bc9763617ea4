import { randomUUID } from "node:crypto";

import type { Transaction } from "@minimcp/db";
import { apiKeyProviders, apiKeys } from "@minimcp/db/schema";
import { eq } from "drizzle-orm";
import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, requireUser } from "../context.ts";
import { Conflict } from "../errors.ts";
import { ensureUserDataKey } from "../vault/user-data-key.ts";
import { apiKeyColumns, type ApiKeyView } from "./api-key-view.ts";

export const CreateApiKey = z.strictObject({
  provider: z.enum(apiKeyProviders),
  label: z.string().trim().min(1).max(100),
  secret: z
    .string()
    .min(8, "is too short to be a key")
    .max(8192, "is too long to be a key")
    .refine((text) => text.trim() === text, "has white space at an end; copy the key alone"),
});
export type CreateApiKey = z.infer<typeof CreateApiKey>;

/** How much of the end of a secret is shown; short secrets show nothing. */
function hintOf(secret: string): string {
  return secret.length >= 16 ? secret.slice(-4) : "";
}

/**
 * Stores an upstream key, sealed under a key of its owner. After this only a worker can open it.
 * @throws Conflict (`apiKey.labelTaken`)
 */
export async function createApiKey(ctx: Context, input: CreateApiKey): Promise<ApiKeyView> {
  const { userId } = requireUser(ctx);
  return await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    const id = randomUUID();
    const stored = await insertSealed(tx, ctx, userId, id, input);
    if (!stored) {
      throw new Conflict(
        "apiKey.labelTaken",
        "You have a key with this label already. Choose another label.",
        {
          issues: [{ path: ["label"], message: "is taken" }],
        },
      );
    }
    await appendAudit(tx, ctx.request, {
      action: "apiKey.create",
      resourceType: "apiKey",
      resourceId: id,
      newValue: { provider: input.provider, label: input.label },
    });
    const [view] = await tx.select(apiKeyColumns).from(apiKeys).where(eq(apiKeys.id, id));
    if (view === undefined) throw new Error("an API key was not stored");
    return view;
  });
}

/** @returns false when the label is taken */
async function insertSealed(
  tx: Transaction,
  { vault }: Context,
  userId: string,
  id: string,
  { provider, label, secret }: CreateApiKey,
): Promise<boolean> {
  const dataKey = await ensureUserDataKey(tx, vault, userId);
  try {
    const stored = await tx
      .insert(apiKeys)
      .values({
        id,
        userId,
        provider,
        label,
        sealed: vault.sealApiKey(dataKey, id, secret),
        dataKeyId: dataKey.id,
        hint: hintOf(secret),
        fingerprint: vault.fingerprint(dataKey, secret),
      })
      .onConflictDoNothing()
      .returning({ id: apiKeys.id });
    return stored.length > 0;
  } finally {
    dataKey.key.fill(0);
  }
}
