import { users } from "@minimcp/db/schema";
import { and, desc, eq, isNull } from "drizzle-orm";
import type { z } from "zod";

import { type Context, overseer } from "../context.ts";
import { olderThan, type Page, PageInput, toPage } from "../page.ts";
import { EmailAddress } from "./person.ts";
import { userColumns, type UserView } from "./user-view.ts";

export const ListUsers = PageInput.extend({
  /** Only the account that it names. */
  email: EmailAddress.optional(),
}).prefault({});
export type ListUsers = z.infer<typeof ListUsers>;

/** Every account, newest first. */
export async function listUsers(ctx: Context, input: ListUsers): Promise<Page<UserView>> {
  const rows = await ctx.db.as(overseer(ctx.principal), (tx) =>
    tx
      .select(userColumns)
      .from(users)
      .where(
        and(
          isNull(users.deletedAt),
          input.email === undefined ? undefined : eq(users.email, input.email),
          olderThan(users, input.cursor),
        ),
      )
      .orderBy(desc(users.createdAt), desc(users.id))
      .limit(input.limit + 1),
  );
  return toPage(rows, input.limit);
}
