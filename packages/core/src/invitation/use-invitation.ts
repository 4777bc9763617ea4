import type { Transaction } from "@minimcp/db";
import { invitations } from "@minimcp/db/schema";
import { and, eq, gt, isNull, or, sql } from "drizzle-orm";

import { Forbidden } from "../errors.ts";
import type { UserRole } from "../principal.ts";
import { digestToken } from "../token/opaque-token.ts";

/**
 * Uses an invitation up. Of two uses at once, one wins.
 * @returns the invitation's id and the role it grants
 * @throws Forbidden (`auth.invitationInvalid`), the same for every cause
 */
export async function consumeInvitation(
  tx: Transaction,
  code: string,
  email: string,
): Promise<{ id: string; role: UserRole }> {
  const codeHash = digestToken("inv", code);
  const [invitation] =
    codeHash === null
      ? []
      : await tx
          .update(invitations)
          .set({ usedAt: sql`now()` })
          .where(
            and(
              eq(invitations.codeHash, codeHash),
              isNull(invitations.usedAt),
              gt(invitations.expiresAt, sql`now()`),
              or(isNull(invitations.email), eq(invitations.email, email)),
            ),
          )
          .returning({ id: invitations.id, role: invitations.role });
  if (invitation === undefined) {
    throw new Forbidden(
      "auth.invitationInvalid",
      "This invitation code is unknown, already used, expired, or for another address. Ask for a new one.",
    );
  }
  return invitation;
}

/** Remembers who came in by an invitation; a step of its own because the account has to exist first. */
export async function recordInvitee(tx: Transaction, invitationId: string, userId: string): Promise<void> {
  await tx.update(invitations).set({ usedBy: userId }).where(eq(invitations.id, invitationId));
}
