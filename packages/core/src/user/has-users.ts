import { users } from "@minimcp/db/schema";

import { type Context, databaseActor } from "../context.ts";

/** Whether anybody has an account yet: an installation without one tells how to make the first. */
export async function hasUsers(ctx: Pick<Context, "db" | "principal">): Promise<boolean> {
  const [first] = await ctx.db.as(databaseActor(ctx.principal), (tx) =>
    tx.select({ id: users.id }).from(users).limit(1),
  );
  return first !== undefined;
}
