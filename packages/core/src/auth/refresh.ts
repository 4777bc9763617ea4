import { randomUUID } from "node:crypto";

import type { Transaction } from "@minimcp/db";
import { refreshTokens, sessions, users } from "@minimcp/db/schema";
import { and, eq, gt, isNull, sql } from "drizzle-orm";
import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor } from "../context.ts";
import { Unauthenticated } from "../errors.ts";
import { system } from "../principal.ts";
import { digestToken } from "../token/opaque-token.ts";
import { issueTokenPair, type TokenPair } from "./session-tokens.ts";

export const Refresh = z.strictObject({ refreshToken: z.string().min(1).max(200) });
export type Refresh = z.infer<typeof Refresh>;

export interface Refreshed {
  tokens: TokenPair;
}

/**
 * Exchanges a refresh token for the next pair (RFC 9700 section 4.14.2): each is used once, and a second use
 * means that two hold it, so the whole session ends.
 * @throws Unauthenticated `auth.refreshTokenInvalid` or `auth.refreshTokenReused`
 */
export async function refresh(ctx: Context, input: Refresh): Promise<Refreshed> {
  const tokenHash = digestToken("mrt", input.refreshToken);
  if (tokenHash === null) throw invalid();
  // A reuse must be committed although the call fails, so that returns; whatever else throws leaves no trace.
  const outcome = await ctx.db.as(databaseActor(system("auth")), async (tx) => {
    const successorId = randomUUID();
    const [used] = await tx
      .update(refreshTokens)
      .set({ usedAt: sql`now()`, replacedBy: successorId })
      .where(
        and(
          eq(refreshTokens.tokenHash, tokenHash),
          isNull(refreshTokens.usedAt),
          gt(refreshTokens.expiresAt, sql`now()`),
        ),
      )
      .returning({ sessionId: refreshTokens.sessionId });
    if (used === undefined) {
      await endReused(tx, ctx, tokenHash);
      return "reused";
    }
    const session = await touchSession(tx, ctx, used.sessionId);
    // Rolled back, the token stays unused: the next try of the same client is no sign of theft.
    if (session === undefined) throw invalid();
    return await issueTokenPair(tx, ctx, session, successorId);
  });
  if (outcome !== "reused") return { tokens: outcome };
  throw new Unauthenticated(
    "auth.refreshTokenReused",
    "This refresh token was used before, so somebody may have copied it. The session has ended; sign in again.",
  );
}

/** The live session of an active account, kept alive by this use. */
async function touchSession(
  tx: Transaction,
  ctx: Context,
  sessionId: string,
): Promise<{ id: string; userId: string; tokenEpoch: number } | undefined> {
  const [touched] = await tx
    .update(sessions)
    .set({
      lastSeenAt: sql`now()`,
      idleExpiresAt: sql`now() + make_interval(days => ${ctx.settings.refreshIdleDays})`,
    })
    .from(users)
    .where(
      and(
        eq(sessions.id, sessionId),
        isNull(sessions.endedAt),
        gt(sessions.absoluteExpiresAt, sql`now()`),
        eq(users.id, sessions.userId),
        eq(users.status, "active"),
        isNull(users.deletedAt),
      ),
    )
    .returning({ id: sessions.id, userId: sessions.userId, tokenEpoch: users.tokenEpoch });
  return touched;
}

/**
 * Ends the session of a token that was used before.
 * @throws Unauthenticated for a token that was not: it is unknown or has expired
 */
async function endReused(tx: Transaction, ctx: Context, tokenHash: Buffer): Promise<void> {
  const [known] = await tx
    .select({
      sessionId: refreshTokens.sessionId,
      userId: refreshTokens.userId,
      usedAt: refreshTokens.usedAt,
    })
    .from(refreshTokens)
    .where(eq(refreshTokens.tokenHash, tokenHash));
  if (known === undefined || known.usedAt === null) throw invalid();
  await tx
    .update(sessions)
    .set({ endedAt: sql`now()`, endReason: "refreshReuse" })
    .where(and(eq(sessions.id, known.sessionId), isNull(sessions.endedAt)));
  await appendAudit(tx, ctx.request, {
    action: "auth.refresh",
    resourceType: "session",
    resourceId: known.sessionId,
    newValue: { userId: known.userId },
    result: "denied",
    errorMessage: "auth.refreshTokenReused",
  });
}

function invalid(): Unauthenticated {
  return new Unauthenticated(
    "auth.refreshTokenInvalid",
    "This refresh token is unknown or has expired. Sign in again.",
  );
}
