import type { Database } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, eq, inArray, sql } from "drizzle-orm";

import { isLive, type NodeIdentity, workerActor } from "./lease.ts";

/** Lets go of instances that this node holds and does not run, so that any node can claim them at once. */
export async function releaseLeases(
  db: Database,
  node: NodeIdentity,
  instanceIds: readonly string[],
): Promise<void> {
  if (instanceIds.length === 0) return;
  await db.as(workerActor, (tx) =>
    tx
      .update(instances)
      .set({ leaseUntil: sql`now() - interval '1 millisecond'` })
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
