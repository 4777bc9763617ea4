import { randomUUID } from "node:crypto";

import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { NewPassword } from "../auth/passwords.ts";
import { type Context, databaseActor } from "../context.ts";
import { voidSetUpInvitations } from "../invitation/void-set-up-invitations.ts";
import { createUser } from "./create-user.ts";
import { EmailAddress, PersonName } from "./person.ts";
import type { UserView } from "./user-view.ts";

export const CreateAdministrator = z.strictObject({
  email: EmailAddress,
  password: NewPassword,
  name: PersonName.optional(),
});
export type CreateAdministrator = z.infer<typeof CreateAdministrator>;

/**
 * Creates an administrator. No procedure leads here: only whoever can already read the installation's secrets, at
 * its command line, can call it.
 * @throws Conflict (`auth.emailTaken`)
 */
export async function createAdministrator(
  ctx: Pick<Context, "db" | "passwords" | "principal" | "request">,
  input: CreateAdministrator,
): Promise<UserView> {
  const passwordHash = await ctx.passwords.hash(input.password);
  return await ctx.db.as(databaseActor(ctx.principal), async (tx) => {
    const user = await createUser(tx, {
      id: randomUUID(),
      email: input.email,
      name: input.name ?? "Administrator",
      role: "admin",
      passwordHash,
    });
    // A set-up link that still lies in somebody's terminal would make another one.
    await voidSetUpInvitations(tx, ctx.request);
    await appendAudit(tx, ctx.request, {
      action: "user.createAdministrator",
      resourceType: "user",
      resourceId: user.id,
      newValue: { role: "admin" },
    });
    return user;
  });
}
