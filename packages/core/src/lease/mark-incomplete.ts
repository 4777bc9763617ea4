import type { Transaction } from "@minimcp/db";
import { instances, receipts } from "@minimcp/db/schema";
import { and, inArray, isNotNull } from "drizzle-orm";

/**
 * Says on the receipts of instances that a node held and did not close itself that up to a second of counts may be
 * missing: it died with them in memory.
 */
export async function markIncomplete(tx: Transaction, instanceIds: readonly string[]): Promise<void> {
  const held = tx
    .select({ id: instances.id })
    .from(instances)
    .where(and(inArray(instances.id, [...instanceIds]), isNotNull(instances.nodeId)));
  await tx.update(receipts).set({ incomplete: true }).where(inArray(receipts.instanceId, held));
}
