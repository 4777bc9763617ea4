import type { Database } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, eq, inArray, sql } from "drizzle-orm";

import { isLive, leaseEnd, type NodeIdentity, remainingMs, workerActor } from "./lease.ts";

/** What a node still owns, and what has been decided about it meanwhile. */
export interface HeldLease {
  instanceId: string;
  fence: number;
  /** How much longer it is owned; negative once others may claim it. */
  leaseMs: number;
  /** Time left to the deadline of the instance. */
  remainingMs: number;
  /** Which of its deadlines that is. */
  renewals: number;
  /** True when somebody ended it (revoke, suspension, key deletion): the node ends it now. */
  stopping: boolean;
}

/**
 * Renews everything that this life of the node holds. What is missing in the answer is not the node's any more.
 *
 * A row that somebody else has locked keeps the lease it had: one transaction that hangs must not cost the node
 * everything it holds. Nobody can claim such a row either.
 */
export async function renewLeases(db: Database, node: NodeIdentity): Promise<HeldLease[]> {
  const held = and(eq(instances.nodeId, node.nodeId), eq(instances.nodeEpoch, node.epoch), isLive);
  const rows = await db.as(workerActor, async (tx) => {
    const unlocked = tx
      .select({ id: instances.id })
      .from(instances)
      .where(held)
      .for("update", { skipLocked: true });
    await tx.update(instances).set({ leaseUntil: leaseEnd }).where(inArray(instances.id, unlocked));
    return await tx
      .select({
        instanceId: instances.id,
        fence: instances.fence,
        leaseMs: sql<number>`(extract(epoch from ${instances.leaseUntil} - clock_timestamp()) * 1000)::float8`,
        remainingMs,
        renewals: instances.renewals,
        state: instances.state,
      })
      .from(instances)
      .where(held);
  });
  return rows.map(({ state, ...lease }) => ({ ...lease, stopping: state === "stopping" }));
}
