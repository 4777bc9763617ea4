import { randomUUID } from "node:crypto";

import type { Transaction } from "@minimcp/db";
import { refreshTokens, sessions, users } from "@minimcp/db/schema";
import { and, desc, eq, inArray, isNull, sql } from "drizzle-orm";

import type { Context } from "../context.ts";
import { mintToken } from "../token/opaque-token.ts";

/** What a client holds after signing in. Both are secrets. */
export interface TokenPair {
  /** Goes with every call, as `Authorization: Bearer`. */
  accessToken: string;
  accessTokenExpiresInSeconds: number;
  /** Gets the next pair, once. */
  refreshToken: string;
  refreshTokenExpiresAt: Date;
}

type Issuing = Pick<Context, "accessTokens" | "settings" | "request">;

/** Starts a session and ends the user's oldest ones above the allowed number. */
export async function startSession(
  tx: Transaction,
  ctx: Issuing,
  user: { id: string; tokenEpoch: number },
): Promise<TokenPair> {
  // One sign-in of a user at a time: each must count the sessions of the others.
  await tx.select({ id: users.id }).from(users).where(eq(users.id, user.id)).for("no key update");
  const sessionId = randomUUID();
  await tx.insert(sessions).values({
    id: sessionId,
    userId: user.id,
    idleExpiresAt: sql`now() + make_interval(days => ${ctx.settings.refreshIdleDays})`,
    absoluteExpiresAt: sql`now() + make_interval(days => ${ctx.settings.sessionAbsoluteDays})`,
    ipAddress: ctx.request.ipAddress,
    userAgent: ctx.request.userAgent?.slice(0, 512) ?? null,
  });
  const surplus = tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(and(eq(sessions.userId, user.id), isNull(sessions.endedAt)))
    .orderBy(desc(sessions.createdAt), desc(sessions.id))
    .offset(ctx.settings.maxSessionsPerUser);
  await tx
    .update(sessions)
    .set({ endedAt: sql`now()`, endReason: "superseded" })
    .where(inArray(sessions.id, surplus));
  return await issueTokenPair(tx, ctx, { id: sessionId, userId: user.id, tokenEpoch: user.tokenEpoch });
}

/** A new access token and the next refresh token of a session. */
export async function issueTokenPair(
  tx: Transaction,
  ctx: Issuing,
  session: { id: string; userId: string; tokenEpoch: number },
  refreshTokenId: string = randomUUID(),
): Promise<TokenPair> {
  const refresh = mintToken("mrt");
  const [stored] = await tx
    .insert(refreshTokens)
    .values({
      id: refreshTokenId,
      sessionId: session.id,
      userId: session.userId,
      tokenHash: refresh.hash,
      expiresAt: sql`now() + make_interval(days => ${ctx.settings.refreshIdleDays})`,
    })
    .returning({ expiresAt: refreshTokens.expiresAt });
  if (stored === undefined) throw new Error("a refresh token was not stored");
  const access = await ctx.accessTokens.issue({
    userId: session.userId,
    sessionId: session.id,
    epoch: session.tokenEpoch,
  });
  return {
    accessToken: access.token,
    accessTokenExpiresInSeconds: access.expiresInSeconds,
    refreshToken: refresh.token,
    refreshTokenExpiresAt: stored.expiresAt,
  };
}
