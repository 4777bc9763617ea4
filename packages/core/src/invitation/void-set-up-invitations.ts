import type { Transaction } from "@minimcp/db";
import { invitations } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";

/** Ends every code with which a first administrator could create their account: nobody made it but the installation. */
export async function voidSetUpInvitations(tx: Transaction): Promise<void> {
  await tx
    .update(invitations)
    .set({ usedAt: sql`now()` })
    .where(and(eq(invitations.role, "admin"), isNull(invitations.createdBy), isNull(invitations.usedAt)));
}
