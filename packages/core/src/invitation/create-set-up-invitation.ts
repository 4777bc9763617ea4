import { type Context, overseer } from "../context.ts";
import { type CreatedInvitation, storeInvitation } from "./create-invitation.ts";
import { voidSetUpInvitations } from "./void-set-up-invitations.ts";

/** An operator sets up at leisure; the next start makes a new one. */
const validHours = 24;

/**
 * Makes the single-use code with which the first administrator of an installation creates their account. Those of
 * earlier calls become void: at any time one such code at most is good.
 */
export async function createSetUpInvitation(
  ctx: Pick<Context, "db" | "principal" | "request">,
): Promise<CreatedInvitation> {
  return await ctx.db.as(overseer(ctx.principal), async (tx) => {
    await voidSetUpInvitations(tx, ctx.request);
    return await storeInvitation(tx, ctx, { role: "admin", validHours, forSetUp: true });
  });
}
