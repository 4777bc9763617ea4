import { sessions, users } from "@minimcp/db/schema";
import { eq } from "drizzle-orm";

import { type Context, databaseActor, requireUser } from "../context.ts";
import { NotFound } from "../errors.ts";
import { type Permission, permissionsOf } from "../permission.ts";
import { userColumns, type UserView } from "../user/user-view.ts";

export interface SessionView {
  id: string;
  createdAt: Date;
  lastSeenAt: Date;
  /** It ends then if it is not used, and at `absoluteExpiresAt` in any case. */
  idleExpiresAt: Date;
  absoluteExpiresAt: Date;
  ipAddress: string | null;
  userAgent: string | null;
}

export interface Me {
  user: UserView;
  permissions: Permission[];
  /** Null for a script that acts for the user. */
  session: SessionView | null;
}

/** Who the caller is and what they may do. */
export async function me(ctx: Context): Promise<Me> {
  const { userId, session: origin } = requireUser(ctx);
  return await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    const [user] = await tx.select(userColumns).from(users).where(eq(users.id, userId));
    if (user === undefined) throw new NotFound("user.notFound", "This account is gone. Sign in again.");
    const [session] =
      origin === null
        ? []
        : await tx
            .select({
              id: sessions.id,
              createdAt: sessions.createdAt,
              lastSeenAt: sessions.lastSeenAt,
              idleExpiresAt: sessions.idleExpiresAt,
              absoluteExpiresAt: sessions.absoluteExpiresAt,
              ipAddress: sessions.ipAddress,
              userAgent: sessions.userAgent,
            })
            .from(sessions)
            .where(eq(sessions.id, origin.id));
    return { user, permissions: permissionsOf(user.role), session: session ?? null };
  });
}
