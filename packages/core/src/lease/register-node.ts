import type { Database } from "@minimcp/db";
import { nodes } from "@minimcp/db/schema";
import { and, eq, sql } from "drizzle-orm";

import { type NodeIdentity, workerActor } from "./lease.ts";

/** A node that has not said so for this long is not counted on. */
const aliveSeconds = 5;
const aliveUntil = sql`now() + make_interval(secs => ${aliveSeconds})`;

/** Announces a node's new life. What its former life held is free to be claimed from now on. */
export async function registerNode(
  db: Database,
  node: NodeIdentity,
  about: { address: string; isolation: unknown; capacity: number },
): Promise<void> {
  const values = { epoch: node.epoch, ...about, startedAt: sql`now()`, aliveUntil };
  await db.as(workerActor, (tx) =>
    tx
      .insert(nodes)
      .values({ id: node.nodeId, ...values })
      .onConflictDoUpdate({ target: nodes.id, set: values }),
  );
}

/**
 * Says that the node is alive.
 * @returns false when another process has taken over this node's name: then this one has nothing left to do
 */
export async function renewNode(db: Database, node: NodeIdentity): Promise<boolean> {
  const renewed = await db.as(workerActor, (tx) =>
    tx
      .update(nodes)
      .set({ aliveUntil })
      .where(and(eq(nodes.id, node.nodeId), eq(nodes.epoch, node.epoch)))
      .returning({ id: nodes.id }),
  );
  return renewed.length > 0;
}

/** Says goodbye, so that nothing is placed here while the lease of the node runs out. */
export async function retireNode(db: Database, node: NodeIdentity): Promise<void> {
  await db.as(workerActor, (tx) =>
    tx
      .update(nodes)
      .set({ aliveUntil: sql`now()` })
      .where(and(eq(nodes.id, node.nodeId), eq(nodes.epoch, node.epoch))),
  );
}
