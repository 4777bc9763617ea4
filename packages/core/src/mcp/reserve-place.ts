import type { Transaction } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, count, eq, sql } from "drizzle-orm";

import type { Settings } from "../context.ts";
import { LimitReached, Unavailable } from "../errors.ts";
import { isLive } from "../lease/lease.ts";

/** The name of the turn, as PostgreSQL wants it: two numbers that nothing else of the product uses. */
const turn = sql`1296649805, 1`;

/**
 * Lets one creation at a time go on from here to its commit, so that what it counts stays true until it has added to it.
 * They are for everybody together, because the places on the nodes are. A process that stops half-way holds it up for
 * no longer than PostgreSQL lets a transaction idle.
 */
export async function waitForTurn(tx: Transaction): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${turn})`);
}

/**
 * Makes sure that there is a place for one more instance of a user. Call it in turn.
 * @throws LimitReached `mcp.instanceLimit`
 * @throws Unavailable `mcp.noCapacity`
 */
export async function requirePlace(
  tx: Transaction,
  { instancesPerUser }: Pick<Settings, "instancesPerUser">,
  userId: string,
): Promise<void> {
  const [row] = await tx
    .select({ own: count(), free: sql`app.free_places()`.mapWith(Number) })
    .from(instances)
    .where(and(eq(instances.userId, userId), isLive));
  const { own = 0, free = 0 } = row ?? {};
  if (own >= instancesPerUser) {
    throw new LimitReached(
      "mcp.instanceLimit",
      `You have ${own} live instances, and may have ${instancesPerUser} at a time. Revoke one that you no longer need, or wait for one to expire.`,
    );
  }
  if (free <= 0) {
    throw new Unavailable(
      "mcp.noCapacity",
      "Every place for an instance is taken. Try again when one has ended; an administrator can raise INSTANCES_PER_NODE or add a worker.",
    );
  }
}
