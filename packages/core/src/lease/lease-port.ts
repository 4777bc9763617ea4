import type { Database } from "@minimcp/db";
import { instances, nodes, portLeases } from "@minimcp/db/schema";
import { and, eq, sql } from "drizzle-orm";

import { heldBy, isLive, type NodeIdentity, workerActor } from "./lease.ts";

/** Loopback ports for servers that can only listen on one, where they have no network of their own. */
export const instancePorts = { first: 3001, last: 3100 } as const;

/**
 * Gives an instance that this node holds a port of its own, for as long as the claim lasts. Asking again gives up the
 * one before. What instances had that are over, or that a former life of this node held, is free again by itself.
 * @param taken ports that something else was found on
 * @returns null when there is none left, or the instance is not this node's
 */
export async function leasePort(
  db: Database,
  node: NodeIdentity,
  lease: { instanceId: string; fence: number },
  taken: ReadonlySet<number>,
): Promise<number | null> {
  return await db.as(workerActor, async (tx) => {
    // One at a time, so that two do not choose the same.
    await tx.select({ id: nodes.id }).from(nodes).where(eq(nodes.id, node.nodeId)).for("update");
    const owner = and(
      eq(instances.id, portLeases.instanceId),
      eq(instances.nodeId, node.nodeId),
      eq(instances.nodeEpoch, node.epoch),
      eq(instances.fence, portLeases.fence),
      isLive,
    );
    await tx.execute(sql`
      delete from ${portLeases} where ${portLeases.instanceId} = ${lease.instanceId}
        or (${portLeases.nodeId} = ${node.nodeId} and not exists (select from ${instances} where ${owner}))`);
    const { rows } = await tx.execute<{ port: number }>(sql`
      insert into ${portLeases} (node_id, port, instance_id, fence)
      select ${node.nodeId}, candidate, ${instances.id}, ${instances.fence}
      from ${instances}, generate_series(${instancePorts.first}::int, ${instancePorts.last}::int) as candidate
      where ${heldBy(node, lease)}
        and not exists (select from ${portLeases} where ${portLeases.nodeId} = ${node.nodeId} and ${portLeases.port} = candidate)
        and candidate not in (select value::int from jsonb_array_elements_text(${JSON.stringify([...taken])}::jsonb))
      order by candidate limit 1
      returning port`);
    return rows[0]?.port ?? null;
  });
}
