import { users } from "@minimcp/db/schema";
import { and, desc, isNull } from "drizzle-orm";
import type { z } from "zod";

import { type Context, overseer } from "../context.ts";
import { olderThan, type Page, PageInput, toPage } from "../page.ts";
import { userColumns, type UserView } from "./user-view.ts";

export const ListUsers = PageInput.prefault({});
export type ListUsers = z.infer<typeof ListUsers>;

/** Every account, newest first. */
export async function listUsers(ctx: Context, input: ListUsers): Promise<Page<UserView>> {
  const rows = await ctx.db.as(overseer(ctx.principal), (tx) =>
    tx
      .select(userColumns)
      .from(users)
      .where(and(isNull(users.deletedAt), olderThan(users, input.cursor)))
      .orderBy(desc(users.createdAt), desc(users.id))
      .limit(input.limit + 1),
  );
  return toPage(rows, input.limit);
}
