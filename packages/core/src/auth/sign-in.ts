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
import { startSession, type TokenPair } from "./session-tokens.ts";

export const SignIn = z.strictObject({ email: EmailAddress, password: TypedPassword });
export type SignIn = z.infer<typeof SignIn>;

export interface SignedIn {
  status: "signedIn";
  user: UserView;
  tokens: TokenPair;
}

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
  const tokens = await ctx.db.as({ userId: user.id, scope: "user" }, async (tx) => {
    const pair = await startSession(tx, ctx, { id: user.id, tokenEpoch });
    await appendAudit(tx, ctx.request, { action: "auth.signIn", resourceType: "user", resourceId: user.id });
    return pair;
  });
  return { status: "signedIn", user, tokens };
}
