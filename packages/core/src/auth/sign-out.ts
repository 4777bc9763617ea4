import { sessions } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, requireUser } from "../context.ts";

/** Ends the session behind the call; every credential that came from it is dead at once. */
export async function signOut(ctx: Context): Promise<Record<string, never>> {
  const { session } = requireUser(ctx);
  if (session === null) return {};
  await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    await tx
      .update(sessions)
      .set({ endedAt: sql`now()`, endReason: "signedOut" })
      .where(and(eq(sessions.id, session.id), isNull(sessions.endedAt)));
    await appendAudit(tx, ctx.request, {
      action: "auth.signOut",
      resourceType: "session",
      resourceId: session.id,
    });
  });
  return {};
}
