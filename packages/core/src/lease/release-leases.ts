import type { Database } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, eq, inArray, sql } from "drizzle-orm";

import { isLive, type NodeIdentity, workerActor } from "./lease.ts";

/**
 * Lets go of instances that this node holds and does not run, so that any node can claim them at once. Their counts
 * have been written by then: whoever claims them finds no former holder who could have lost some.
 */
export async function releaseLeases(
  db: Database,
  node: NodeIdentity,
  instanceIds: readonly string[],
): Promise<void> {
  if (instanceIds.length === 0) return;
  await db.as(workerActor, (tx) =>
    tx
      .update(instances)
      .set({
        nodeId: null,
        nodeEpoch: null,
        leaseUntil: null,
        state: sql`case when ${instances.state} = 'stopping' then 'stopping' else 'requested' end`,
      })
      .where(
        and(
          inArray(instances.id, [...instanceIds]),
          eq(instances.nodeId, node.nodeId),
          eq(instances.nodeEpoch, node.epoch),
          isLive,
        ),
      ),
  );
}
