import { randomUUID } from "node:crypto";

import type { Transaction } from "@minimcp/db";
import { invitations, userRoles } from "@minimcp/db/schema";
import { sql } from "drizzle-orm";
import { z } from "zod";

import { appendAudit } from "../audit.ts";
import { type Context, overseer } from "../context.ts";
import type { UserRole } from "../principal.ts";
import { mintToken } from "../token/opaque-token.ts";
import { EmailAddress } from "../user/person.ts";

export const CreateInvitation = z.strictObject({
  /** Only this address can use it. Without one, whoever holds the code. */
  email: EmailAddress.optional(),
  role: z.enum(userRoles).default("user"),
  validHours: z.int().min(1).max(720).default(72),
});
export type CreateInvitation = z.infer<typeof CreateInvitation>;

export interface CreatedInvitation {
  id: string;
  /** Shown once. */
  code: string;
  email: string | null;
  role: UserRole;
  expiresAt: Date;
}

/** Makes a single-use code with which one person can create an account. */
export async function createInvitation(
  ctx: Pick<Context, "db" | "principal" | "request">,
  input: CreateInvitation,
): Promise<CreatedInvitation> {
  return await ctx.db.as(overseer(ctx.principal), (tx) => storeInvitation(tx, ctx, input));
}

export async function storeInvitation(
  tx: Transaction,
  { principal, request }: Pick<Context, "principal" | "request">,
  input: CreateInvitation & { forSetUp?: boolean },
): Promise<CreatedInvitation> {
  const id = randomUUID();
  const code = mintToken("inv");
  const email = input.email ?? null;
  const [stored] = await tx
    .insert(invitations)
    .values({
      id,
      codeHash: code.hash,
      email,
      role: input.role,
      forSetUp: input.forSetUp,
      createdBy: principal.kind === "user" ? principal.userId : null,
      expiresAt: sql`now() + make_interval(hours => ${input.validHours})`,
    })
    .returning({ expiresAt: invitations.expiresAt });
  if (stored === undefined) throw new Error("an invitation was not stored");
  await appendAudit(tx, request, {
    action: "admin.invitations.create",
    resourceType: "invitation",
    resourceId: id,
    newValue: { email, role: input.role, validHours: input.validHours },
  });
  return { id, code: code.token, email, role: input.role, expiresAt: stored.expiresAt };
}
