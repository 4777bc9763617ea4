import type { Database } from "@minimcp/db";
import { sessions, users } from "@minimcp/db/schema";
import { and, eq, gt, isNull, sql } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { Unauthenticated } from "../errors.ts";
import { anonymous, type Principal, system, type UserRole } from "../principal.ts";
import type { AccessTokens } from "../token/access-token.ts";

export interface Authenticator {
  /**
   * Who sends this `Authorization` header.
   * @throws Unauthenticated when there is a credential and it does not count
   */
  authenticate(authorization: string | undefined): Promise<Principal>;
}

interface LiveSession {
  userId: string;
  role: UserRole;
  epoch: number;
}

/** So long a sign-out or a suspension may take to reach this process. */
const rememberMs = 1_000;
/** How many sessions' states are remembered. */
const maxRemembered = 10_000;

/**
 * Checks bearer tokens. That a session is live and its user unchanged is asked of the database, and the answer is
 * remembered for `rememberMs`.
 */
export function createAuthenticator({
  db,
  accessTokens,
}: {
  db: Database;
  accessTokens: AccessTokens;
}): Authenticator {
  const remembered = new Map<string, { session: LiveSession | null; until: number }>();

  async function readSession(sessionId: string): Promise<LiveSession | null> {
    const known = remembered.get(sessionId);
    if (known !== undefined && known.until > performance.now()) return known.session;
    const asked = performance.now();
    const [row] = await db.as(databaseActor(system("auth")), (tx) =>
      tx
        .select({ userId: users.id, role: users.role, epoch: users.tokenEpoch })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(
          and(
            eq(sessions.id, sessionId),
            isNull(sessions.endedAt),
            gt(sessions.idleExpiresAt, sql`now()`),
            gt(sessions.absoluteExpiresAt, sql`now()`),
            eq(users.status, "active"),
            isNull(users.deletedAt),
          ),
        ),
    );
    const session = row ?? null;
    remembered.delete(sessionId);
    remembered.set(sessionId, { session, until: asked + rememberMs });
    if (remembered.size > maxRemembered) {
      const [oldest] = remembered.keys();
      if (oldest !== undefined) remembered.delete(oldest);
    }
    return session;
  }

  return {
    async authenticate(authorization) {
      if (authorization === undefined) return anonymous;
      const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
      if (token === undefined) {
        throw new Unauthenticated(
          "auth.tokenInvalid",
          "The Authorization header must be: Bearer, a space, the token.",
        );
      }
      const claims = await accessTokens.verify(token);
      const session = await readSession(claims.sessionId);
      if (session?.userId !== claims.userId || session.epoch !== claims.epoch) {
        throw new Unauthenticated("auth.sessionEnded", "This session has ended. Sign in again.");
      }
      return {
        kind: "user",
        via: "accessToken",
        userId: claims.userId,
        role: session.role,
        sessionId: claims.sessionId,
      };
    },
  };
}
