import type { Transaction } from "@minimcp/db";
import { invitations } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import type { RequestOrigin } from "../context.ts";

/** Ends every code that the installation made for its first administrator. */
export async function voidSetUpInvitations(tx: Transaction, request: RequestOrigin): Promise<void> {
  const voided = await tx
    .update(invitations)
    .set({ usedAt: sql`now()` })
    .where(and(eq(invitations.forSetUp, true), isNull(invitations.usedAt)))
    .returning({ id: invitations.id });
  for (const { id } of voided) {
    await appendAudit(tx, request, {
      action: "admin.invitations.void",
      resourceType: "invitation",
      resourceId: id,
    });
  }
}
