import type { Database } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, eq } from "drizzle-orm";

import { isLive, leaseEnd, type NodeIdentity, remainingMs, workerActor } from "./lease.ts";

/** What a node still owns, and what has been decided about it meanwhile. */
export interface RenewedLease {
  instanceId: string;
  fence: number;
  remainingMs: number;
  /** True when somebody ended it (revoke, suspension, key deletion): the node ends it now. */
  stopping: boolean;
}

/** Renews everything that this life of the node holds. What is missing in the answer is not the node's any more. */
export async function renewLeases(db: Database, node: NodeIdentity): Promise<RenewedLease[]> {
  const rows = await db.as(workerActor, (tx) =>
    tx
      .update(instances)
      .set({ leaseUntil: leaseEnd })
      .where(and(eq(instances.nodeId, node.nodeId), eq(instances.nodeEpoch, node.epoch), isLive))
      .returning({ instanceId: instances.id, fence: instances.fence, remainingMs, state: instances.state }),
  );
  return rows.map(({ state, ...lease }) => ({ ...lease, stopping: state === "stopping" }));
}
