import type { Database } from "@minimcp/db";
import { receipts } from "@minimcp/db/schema";
import { and, eq, isNull, sql } from "drizzle-orm";

import { workerActor } from "./lease.ts";

/** What happened at one instance since the last flush. */
export interface CallCounts {
  calls: number;
  denials: number;
  failures: number;
  requestBytes: number;
  responseBytes: number;
  toolCalls: Record<string, number>;
  /** True when earlier counts were lost. */
  incomplete: boolean;
}

/** A server with a great many tool names must not grow a receipt without end. */
const maxToolNames = 500;

/** Adds counts to the receipts of instances; a closed receipt does not change any more. */
export async function recordCalls(db: Database, counts: ReadonlyMap<string, CallCounts>): Promise<void> {
  await db.as(workerActor, async (tx) => {
    for (const [instanceId, count] of counts) {
      await tx
        .update(receipts)
        .set({
          calls: sql`${receipts.calls} + ${count.calls}`,
          denials: sql`${receipts.denials} + ${count.denials}`,
          failures: sql`${receipts.failures} + ${count.failures}`,
          requestBytes: sql`${receipts.requestBytes} + ${count.requestBytes}`,
          responseBytes: sql`${receipts.responseBytes} + ${count.responseBytes}`,
          toolCalls: sql`(
            select coalesce(jsonb_object_agg(name, total), '{}'::jsonb) from (
              select key as name, sum(value::bigint) as total
              from (select * from jsonb_each_text(${receipts.toolCalls})
                    union all select * from jsonb_each_text(${JSON.stringify(count.toolCalls)}::jsonb)) as added
              group by key order by total desc limit ${maxToolNames}
            ) as summed)`,
          incomplete: sql`${receipts.incomplete} or ${count.incomplete}`,
          updatedAt: sql`now()`,
        })
        .where(and(eq(receipts.instanceId, instanceId), isNull(receipts.closedAt)));
    }
  });
}
