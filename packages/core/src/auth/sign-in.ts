import { credentials, users } from "@minimcp/db/schema";
import { and, eq, isNull } from "drizzle-orm";
import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor } from "../context.ts";
import { Unauthenticated } from "../errors.ts";
import { system } from "../principal.ts";
import { EmailAddress } from "../user/person.ts";
import { userColumns, type UserView } from "../user/user-view.ts";
import { TypedPassword } from "./passwords.ts";
import { type SessionBearer, startBearerSession, startSession, type TokenPair } from "./session-tokens.ts";

export const SignIn = z.strictObject({
  email: EmailAddress,
  password: TypedPassword,
  /**
   * What the caller wants to hold: `tokens`, which a program refreshes, or `session`, one bearer that lives for as long
   * as it is used, for a server that keeps it for a browser.
   */
  as: z.enum(["tokens", "session"], "must be tokens or session").default("tokens"),
});
export type SignIn = z.infer<typeof SignIn>;

interface WithTokens {
  status: "signedIn";
  user: UserView;
  tokens: TokenPair;
  session?: undefined;
}

interface WithSession {
  status: "signedIn";
  user: UserView;
  tokens?: undefined;
  session: SessionBearer;
}

export type SignedIn = WithTokens | WithSession;

/**
 * Signs a person in with their password.
 * @throws Unauthenticated (`auth.badCredentials`), the same for an unknown account and a wrong password
 */
export async function signIn(ctx: Context, input: SignIn): Promise<SignedIn> {
  const [account] = await ctx.db.as(databaseActor(system("auth")), (tx) =>
    tx
      .select({ user: userColumns, tokenEpoch: users.tokenEpoch, passwordHash: credentials.passwordHash })
      .from(users)
      .innerJoin(credentials, eq(credentials.userId, users.id))
      .where(and(eq(users.email, input.email), eq(users.status, "active"), isNull(users.deletedAt))),
  );
  const matches = await ctx.passwords.verify(account?.passwordHash ?? null, input.password);
  if (account === undefined || !matches) {
    throw new Unauthenticated("auth.badCredentials", "The e-mail address or the password is wrong.");
  }
  const { user, tokenEpoch } = account;
  const holder = { id: user.id, tokenEpoch };
  return await ctx.db.as({ userId: user.id, scope: "user" }, async (tx) => {
    const held =
      input.as === "session"
        ? { session: await startBearerSession(tx, ctx, holder) }
        : { tokens: await startSession(tx, ctx, holder) };
    await appendAudit(tx, ctx.request, { action: "auth.signIn", resourceType: "user", resourceId: user.id });
    return { status: "signedIn", user, ...held };
  });
}
