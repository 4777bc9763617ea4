import type { Database } from "@minimcp/db";
import { instances } from "@minimcp/db/schema";
import { and, inArray, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import { workerRequest } from "./close-instance.ts";
import { heldBy, type NodeIdentity, workerActor } from "./lease.ts";

/**
 * Records that an instance answers, and the isolation it really runs at. Each start is an audit event with that: after
 * a move to another node it may be another.
 * @returns false when the instance is not this node's to speak for any more
 */
export async function markReady(
  db: Database,
  node: NodeIdentity,
  lease: { instanceId: string; fence: number },
  isolation: unknown,
): Promise<boolean> {
  return await db.as(workerActor, async (tx) => {
    const marked = await tx
      .update(instances)
      .set({ state: "ready", readyAt: sql`coalesce(${instances.readyAt}, now())`, isolation })
      .where(and(heldBy(node, lease), inArray(instances.state, ["starting", "ready", "idle"])))
      .returning({ id: instances.id });
    if (marked.length === 0) return false;
    await appendAudit(tx, workerRequest, {
      action: "instance.start",
      resourceType: "instance",
      resourceId: lease.instanceId,
      newValue: { nodeId: node.nodeId, isolation },
    });
    return true;
  });
}

/** Records that its process has died and is being started again. */
export async function markRestarting(
  db: Database,
  node: NodeIdentity,
  lease: { instanceId: string; fence: number },
): Promise<boolean> {
  const marked = await db.as(workerActor, (tx) =>
    tx
      .update(instances)
      .set({ state: "starting", starts: sql`${instances.starts} + 1` })
      .where(and(heldBy(node, lease), inArray(instances.state, ["starting", "ready", "idle"])))
      .returning({ id: instances.id }),
  );
  return marked.length > 0;
}
