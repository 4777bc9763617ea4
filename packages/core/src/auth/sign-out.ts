import { sessions } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor, requireUser } from "../context.ts";

/** Ends the session behind the call; every token that came from it is dead at once. */
export async function signOut(ctx: Context): Promise<Record<string, never>> {
  const { sessionId } = requireUser(ctx);
  if (sessionId === null) return {};
  await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    await tx
      .update(sessions)
      .set({ endedAt: sql`now()`, endReason: "signedOut" })
      .where(and(eq(sessions.id, sessionId), isNull(sessions.endedAt)));
    await appendAudit(tx, ctx.request, {
      action: "auth.signOut",
      resourceType: "session",
      resourceId: sessionId,
    });
  });
  return {};
}
