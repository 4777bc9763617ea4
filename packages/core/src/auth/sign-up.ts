import { randomUUID } from "node:crypto";

import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { type Context, databaseActor } from "../context.ts";
import { Forbidden } from "../errors.ts";
import { consumeInvitation, recordInvitee } from "../invitation/use-invitation.ts";
import { system } from "../principal.ts";
import { createUser } from "../user/create-user.ts";
import { hasUsers } from "../user/has-users.ts";
import { EmailAddress, PersonName } from "../user/person.ts";
import type { UserView } from "../user/user-view.ts";
import { NewPassword } from "./passwords.ts";
import { startSession, type TokenPair } from "./session-tokens.ts";

export const SignUp = z.strictObject({
  email: EmailAddress,
  /** At least 15 characters, at most 1024 bytes. */
  password: NewPassword,
  name: PersonName.optional(),
  inviteCode: z.string().max(200).optional(),
});
export type SignUp = z.infer<typeof SignUp>;

export interface SignedUp {
  user: UserView;
  tokens: TokenPair;
}

/**
 * Creates an account by the installation's policy and signs it in.
 * @throws Forbidden `auth.signUpClosed`, or `auth.invitationInvalid` for a code that is missing, unknown, used,
 *   expired, or for another address
 * @throws Conflict `auth.emailTaken`
 */
export async function signUp(ctx: Context, input: SignUp): Promise<SignedUp> {
  const { signUpPolicy } = ctx.settings;
  // The first account is let in by its set-up link whatever the policy, or nobody could ever change it.
  if (
    signUpPolicy === "closed" &&
    (input.inviteCode === undefined || (await hasUsers({ db: ctx.db, principal: system("auth") })))
  ) {
    throw new Forbidden("auth.signUpClosed", "This server takes no new accounts. Ask its administrator.");
  }
  if (signUpPolicy === "invite" && input.inviteCode === undefined) {
    throw new Forbidden(
      "auth.invitationInvalid",
      "An account needs an invitation code. Ask the administrator for one.",
    );
  }
  const passwordHash = await ctx.passwords.hash(input.password);
  return await ctx.db.as(databaseActor(system("auth")), async (tx) => {
    const invitation =
      input.inviteCode === undefined ? null : await consumeInvitation(tx, input.inviteCode, input.email);
    const user = await createUser(tx, {
      id: randomUUID(),
      email: input.email,
      name: input.name ?? input.email,
      role: invitation?.role ?? "user",
      passwordHash,
    });
    if (invitation !== null) await recordInvitee(tx, invitation.id, user.id);
    const tokens = await startSession(tx, ctx, { id: user.id, tokenEpoch: 0 });
    await appendAudit(tx, ctx.request, {
      action: "auth.signUp",
      resourceType: "user",
      resourceId: user.id,
      newValue: { role: user.role, invitationId: invitation?.id ?? null },
    });
    return { user, tokens };
  });
}
