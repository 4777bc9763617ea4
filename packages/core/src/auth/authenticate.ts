import type { Database, Transaction } from "@minimcp/db";
import { sessions, users } from "@minimcp/db/schema";
import { and, eq, lt, type SQL, sql } from "drizzle-orm";

import { databaseActor, type Settings } from "../context.ts";
import { Unauthenticated } from "../errors.ts";
import { anonymous, type Principal, system, type UserPrincipal, type UserRole } from "../principal.ts";
import type { AccessTokens } from "../token/access-token.ts";
import { digestToken } from "../token/opaque-token.ts";
import { isLiveSession } from "./live-session.ts";

export interface Authenticator {
  /**
   * Who sends this `Authorization` header.
   * @param options.isUse false for a stream: an open page comes again by itself, and must not keep a session alive that
   *   nobody uses
   * @throws Unauthenticated when there is a credential and it does not count
   */
  authenticate(authorization: string | undefined, options?: { isUse: boolean }): Promise<Principal>;
}

interface LiveSession {
  id: string;
  userId: string;
  role: UserRole;
  /** The account's epoch now. */
  epoch: number;
  /** And when the session's bearer was issued; null for a session that has tokens in its place. */
  bearerEpoch: number | null;
}

/** So long a sign-out or a suspension may take to reach this process. */
const rememberMs = 1_000;
/** How many sessions' states are remembered. */
const maxRemembered = 10_000;
/** Using a bearer keeps its session alive, and is written down at most this often. */
const touchSeconds = 60;

/**
 * Checks bearer tokens. That a session is live and its user unchanged is asked of the database, and the answer is
 * remembered for `rememberMs`.
 */
export function createAuthenticator({
  db,
  accessTokens,
  settings,
}: {
  db: Database;
  accessTokens: AccessTokens;
  settings: Pick<Settings, "bearerIdleMinutes">;
}): Authenticator {
  const remembered = new Map<string, { session: LiveSession | null; until: number }>();

  async function readSession(key: string, which: SQL, isUse: boolean): Promise<LiveSession | null> {
    const known = remembered.get(key);
    if (known !== undefined && known.until > performance.now()) return known.session;
    const asked = performance.now();
    const { session, isWritten } = await db.as(databaseActor(system("auth")), async (tx) => {
      const [row] = await tx
        .select({
          id: sessions.id,
          userId: users.id,
          role: users.role,
          epoch: users.tokenEpoch,
          bearerEpoch: sessions.bearerEpoch,
          isUnseen: sql<boolean>`${unseen}`,
        })
        .from(sessions)
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(and(which, isLiveSession));
      if (row === undefined) return { session: null, isWritten: true };
      const { isUnseen, ...found } = row;
      const isDue = found.bearerEpoch !== null && isUnseen;
      if (isDue && isUse) await touch(tx, found.id);
      return { session: found, isWritten: !isDue || isUse };
    });
    remembered.delete(key);
    // Else a use in the next second would not be written down either.
    if (!isWritten) return session;
    remembered.set(key, { session, until: asked + rememberMs });
    if (remembered.size > maxRemembered) {
      const [oldest] = remembered.keys();
      if (oldest !== undefined) remembered.delete(oldest);
    }
    return session;
  }

  async function touch(tx: Transaction, id: string): Promise<void> {
    const idleEnd = sql`now() + make_interval(mins => ${settings.bearerIdleMinutes})`;
    await tx
      .update(sessions)
      .set({
        lastSeenAt: sql`now()`,
        idleExpiresAt: sql`least(${idleEnd}, ${sessions.absoluteExpiresAt})`,
      })
      .where(and(eq(sessions.id, id), unseen));
  }

  async function checkBearer(token: string, isUse: boolean): Promise<UserPrincipal> {
    const hash = digestToken("mss", token);
    if (hash === null) throw tokenInvalid();
    const session = await readSession(hash.toString("base64"), eq(sessions.bearerHash, hash), isUse);
    if (session?.bearerEpoch !== session?.epoch || session === null) throw sessionEnded();
    const { id, userId, role, epoch } = session;
    return { kind: "user", via: "sessionBearer", userId, role, session: { id, epoch, expiresAt: null } };
  }

  async function checkAccessToken(token: string, isUse: boolean): Promise<UserPrincipal> {
    const { sessionId: id, userId, epoch, expiresAt } = await accessTokens.verify(token);
    const session = await readSession(id, eq(sessions.id, id), isUse);
    if (session?.userId !== userId || session.epoch !== epoch) throw sessionEnded();
    return {
      kind: "user",
      via: "accessToken",
      userId,
      role: session.role,
      session: { id, epoch, expiresAt },
    };
  }

  return {
    async authenticate(authorization, { isUse } = { isUse: true }) {
      if (authorization === undefined) return anonymous;
      const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
      if (token === undefined) {
        throw new Unauthenticated(
          "auth.tokenInvalid",
          "The Authorization header must be: Bearer, a space, the token.",
        );
      }
      return await (token.startsWith("mss_") ? checkBearer(token, isUse) : checkAccessToken(token, isUse));
    },
  };
}

const unseen = lt(sessions.lastSeenAt, sql`now() - make_interval(secs => ${touchSeconds})`);

function tokenInvalid(): Unauthenticated {
  return new Unauthenticated("auth.tokenInvalid", "This is not a valid session bearer. Sign in again.");
}

export function sessionEnded(): Unauthenticated {
  return new Unauthenticated("auth.sessionEnded", "This session has ended. Sign in again.");
}
