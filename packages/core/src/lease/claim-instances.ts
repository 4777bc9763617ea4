import type { Database } from "@minimcp/db";
import { instances, serverTypes } from "@minimcp/db/schema";
import { and, eq, gt, inArray, sql } from "drizzle-orm";

import { ServerTypeDeclaration } from "../server-type/declaration.ts";
import { isFree, leaseEnd, type NodeIdentity, remainingMs, workerActor } from "./lease.ts";
import { markIncomplete } from "./mark-incomplete.ts";

/** An instance that this node now owns and has to start. */
export interface ClaimedInstance {
  instanceId: string;
  userId: string;
  fence: number;
  remainingMs: number;
  /** Which of its deadlines that is. */
  renewals: number;
  /** Null where the catalogue holds one that this version cannot read. */
  declaration: ServerTypeDeclaration | null;
  config: Record<string, string>;
}

/**
 * Takes ownership of instances that nobody owns: new ones, those whose node let its lease run out, and at once those
 * that a former life of this node held.
 */
export async function claimInstances(
  db: Database,
  node: NodeIdentity,
  limit: number,
): Promise<ClaimedInstance[]> {
  return await db.as(workerActor, async (tx) => {
    const free = tx
      .select({ id: instances.id })
      .from(instances)
      .where(
        and(
          inArray(instances.state, ["requested", "starting", "ready", "idle"]),
          gt(instances.expiresAt, sql`now()`),
          isFree(node),
        ),
      )
      .orderBy(instances.createdAt)
      .limit(limit)
      .for("update", { skipLocked: true });
    const freeIds = (await free).map((row) => row.id);
    if (freeIds.length === 0) return [];
    await markIncomplete(tx, freeIds);
    const claimed = await tx
      .update(instances)
      .set({
        nodeId: node.nodeId,
        nodeEpoch: node.epoch,
        fence: sql`${instances.fence} + 1`,
        leaseUntil: leaseEnd,
        state: "starting",
        starts: sql`${instances.starts} + 1`,
      })
      .from(serverTypes)
      .where(and(inArray(instances.id, freeIds), eq(serverTypes.id, instances.typeId)))
      .returning({
        instanceId: instances.id,
        userId: instances.userId,
        fence: instances.fence,
        remainingMs,
        renewals: instances.renewals,
        config: instances.config,
        declaration: serverTypes.declaration,
      });
    // One bad entry of the catalogue must not keep everything else from being claimed.
    return claimed.map((row) => ({
      ...row,
      declaration: ServerTypeDeclaration.safeParse(row.declaration).data ?? null,
    }));
  });
}
