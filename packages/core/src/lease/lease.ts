import { instances } from "@minimcp/db/schema";
import { and, eq, gt, isNull, lt, notInArray, or, sql } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { system } from "../principal.ts";

/** Which worker process acts: the node, and which of its lives. */
export interface NodeIdentity {
  nodeId: string;
  epoch: string;
}

/** How long a claim lasts without renewal, by the database's clock. */
export const leaseSeconds = 10;

export const workerActor = databaseActor(system("worker"));

/** Not over yet: it may run, or is about to, or is being ended. */
export const isLive = notInArray(instances.state, ["ended", "failed"]);

export const leaseEnd = sql`now() + make_interval(secs => ${leaseSeconds})`;

/** Owned by this very life of this node, under this very claim: what every act of a worker is conditioned on. */
export function heldBy(node: NodeIdentity, lease: { instanceId: string; fence: number }) {
  return and(
    eq(instances.id, lease.instanceId),
    eq(instances.nodeId, node.nodeId),
    eq(instances.nodeEpoch, node.epoch),
    eq(instances.fence, lease.fence),
    isLive,
  );
}

/**
 * Held by nobody: never claimed, its lease run out, or claimed by a former life of this node. A lease that reaches
 * further than any is given was written before the database's clock was set back, and says nothing any more.
 *
 * What this very life of the node holds is never free to itself: a clock that leaps between renewal and claim would let
 * it start a second process beside the first.
 */
export function isFree(node: NodeIdentity) {
  return or(
    isNull(instances.leaseUntil),
    and(
      sql`${instances.nodeEpoch} is distinct from ${node.epoch}`,
      or(
        lt(instances.leaseUntil, sql`now()`),
        gt(instances.leaseUntil, sql`clock_timestamp() + make_interval(secs => ${2 * leaseSeconds})`),
        eq(instances.nodeId, node.nodeId),
      ),
    ),
  );
}

/**
 * Time left to the deadline by the database's clock, so that a node's own clock may be wrong; where that clock was set
 * back, no more than the instance was granted in all.
 */
export const remainingMs = sql<number>`greatest(0, extract(epoch from least(
  ${instances.expiresAt} - clock_timestamp(), ${instances.expiresAt} - ${instances.createdAt})) * 1000)::float8`;
