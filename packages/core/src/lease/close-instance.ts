import type { Database, Transaction } from "@minimcp/db";
import { instances, receipts } from "@minimcp/db/schema";
import { and, eq, inArray, isNotNull, lte, or, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import type { RequestOrigin } from "../context.ts";
import type { InstanceEndReason } from "../mcp/instance-view.ts";
import { heldBy, isFree, isLive, type NodeIdentity, workerActor } from "./lease.ts";
import { markIncomplete } from "./mark-incomplete.ts";

/** How an instance is over: at its deadline, for another reason, or because it never ran. */
export type Closing =
  /** `renewals` says which deadline: one that was moved meanwhile is none. */
  | { kind: "expired"; renewals: number }
  /** `explanation` is for its owner, where the reason alone does not say enough. */
  | { kind: "ended"; reason: InstanceEndReason; explanation?: string }
  | { kind: "failed"; failure: string };

interface Closed {
  id: string;
  userId: string;
  state: string;
  endReason: InstanceEndReason | null;
}

export const closedColumns = {
  id: instances.id,
  userId: instances.userId,
  state: instances.state,
  endReason: instances.endReason,
};

/**
 * Closes an instance whose process, sockets and streams this node has just ended: the row, the receipt and the audit
 * event in one transaction. A reason that was decided before (a revoke) stays.
 * @returns false when it was not this node's to close, or was renewed before its deadline: then it is to be started again
 */
export async function closeInstance(
  db: Database,
  node: NodeIdentity,
  lease: { instanceId: string; fence: number },
  closing: Closing,
): Promise<boolean> {
  return await db.as(workerActor, async (tx) => {
    const values =
      closing.kind === "failed"
        ? { state: "failed" as const, failure: closing.failure }
        : {
            state: "ended" as const,
            endReason: sql`coalesce(${instances.endReason}, ${reasonOf(closing)})`,
            failure: sql`case when ${instances.endReason} is null then ${explanationOf(closing)}::text end`,
          };
    // By the count and not by the time: a clock that is set back must bring nothing to life again.
    const stands =
      closing.kind === "expired"
        ? or(lte(instances.renewals, closing.renewals), isNotNull(instances.endReason))
        : undefined;
    const closed = await tx
      .update(instances)
      .set({ ...values, endedAt: sql`now()`, leaseUntil: null })
      .where(and(heldBy(node, lease), stands))
      .returning(closedColumns);
    await recordClosed(tx, closed);
    return closed.length > 0;
  });
}

function reasonOf(closing: Exclude<Closing, { kind: "failed" }>): InstanceEndReason {
  return closing.kind === "expired" ? "expired" : closing.reason;
}

function explanationOf(closing: Exclude<Closing, { kind: "failed" }>): string | null {
  return closing.kind === "expired" ? null : (closing.explanation ?? null);
}

/**
 * The net under the deadline: closes what is due, or was ended, and has no living node to say so. Their processes
 * died with the node, or with the former life of this node, that held them.
 * @returns how many it closed
 */
export async function closeAbandoned(db: Database, node: NodeIdentity): Promise<number> {
  return await db.as(workerActor, async (tx) => {
    const abandoned = await tx
      .select({ id: instances.id })
      .from(instances)
      .where(
        and(isLive, or(lte(instances.expiresAt, sql`now()`), eq(instances.state, "stopping")), isFree(node)),
      )
      .limit(200)
      .for("update", { skipLocked: true });
    if (abandoned.length === 0) return 0;
    const ids = abandoned.map((row) => row.id);
    await markIncomplete(tx, ids);
    const closed = await tx
      .update(instances)
      .set({
        state: "ended",
        endReason: sql`coalesce(${instances.endReason}, 'expired')`,
        endedAt: sql`now()`,
        leaseUntil: null,
      })
      .where(inArray(instances.id, ids))
      .returning(closedColumns);
    await recordClosed(tx, closed);
    return closed.length;
  });
}

/** In the place of a request, in the audit events of what a worker does by itself. */
export const workerRequest: RequestOrigin = { id: "worker", ipAddress: null, userAgent: null };

/** The receipt and the audit event of instances that are over. */
export async function recordClosed(
  tx: Transaction,
  closed: readonly Closed[],
  request: RequestOrigin = workerRequest,
): Promise<void> {
  for (const instance of closed) {
    await tx
      .update(receipts)
      .set({ closedAt: sql`now()`, updatedAt: sql`now()` })
      .where(eq(receipts.instanceId, instance.id));
    await appendAudit(tx, request, {
      action: "instance.end",
      resourceType: "instance",
      resourceId: instance.id,
      newValue: { state: instance.state, endReason: instance.endReason },
    });
  }
}
