import { randomUUID } from "node:crypto";

import type { Transaction } from "@minimcp/db";
import { refreshTokens, sessions, users } from "@minimcp/db/schema";
import { and, desc, eq, inArray, isNull, type SQL, sql } from "drizzle-orm";

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

/** What stands in their place for a server that keeps a sign-in for a browser. A secret. */
export interface SessionBearer {
  /** Goes with every call, as `Authorization: Bearer`. */
  bearer: string;
  /** The session is over then unless it is used; each use moves this on. */
  idleExpiresAt: Date;
  /** It is over then in any case. */
  absoluteExpiresAt: Date;
}

type Issuing = Pick<Context, "accessTokens" | "settings" | "request">;

interface SessionUser {
  id: string;
  tokenEpoch: number;
}

/** Starts a session that is held as tokens. */
export async function startSession(tx: Transaction, ctx: Issuing, user: SessionUser): Promise<TokenPair> {
  const { id } = await insertSession(tx, ctx, user, {
    idleExpiresAt: sql`now() + make_interval(days => ${ctx.settings.refreshIdleDays})`,
    absoluteExpiresAt: sql`now() + make_interval(days => ${ctx.settings.sessionAbsoluteDays})`,
  });
  return await issueTokenPair(tx, ctx, { id, userId: user.id, tokenEpoch: user.tokenEpoch });
}

/** Starts a session that is held as one bearer. */
export async function startBearerSession(
  tx: Transaction,
  ctx: Issuing,
  user: SessionUser,
): Promise<SessionBearer> {
  const { token, hash } = mintToken("mss");
  const { idleExpiresAt, absoluteExpiresAt } = await insertSession(tx, ctx, user, {
    idleExpiresAt: sql`now() + make_interval(mins => ${ctx.settings.bearerIdleMinutes})`,
    absoluteExpiresAt: sql`now() + make_interval(hours => ${ctx.settings.bearerAbsoluteHours})`,
    bearerHash: hash,
    bearerEpoch: user.tokenEpoch,
  });
  return { bearer: token, idleExpiresAt, absoluteExpiresAt };
}

/** Stores a session and ends the user's oldest ones above the allowed number. */
async function insertSession(
  tx: Transaction,
  ctx: Issuing,
  user: SessionUser,
  values: { idleExpiresAt: SQL; absoluteExpiresAt: SQL; bearerHash?: Buffer; bearerEpoch?: number },
): Promise<{ id: string; idleExpiresAt: Date; absoluteExpiresAt: Date }> {
  // One sign-in of a user at a time: each must count the sessions of the others.
  await tx.select({ id: users.id }).from(users).where(eq(users.id, user.id)).for("no key update");
  const [stored] = await tx
    .insert(sessions)
    .values({
      id: randomUUID(),
      userId: user.id,
      ...values,
      ipAddress: ctx.request.ipAddress,
      userAgent: ctx.request.userAgent?.slice(0, 512) ?? null,
    })
    .returning({
      id: sessions.id,
      idleExpiresAt: sessions.idleExpiresAt,
      absoluteExpiresAt: sessions.absoluteExpiresAt,
    });
  if (stored === undefined) throw new Error("a session was not stored");
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
  return stored;
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
