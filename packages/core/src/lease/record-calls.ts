import type { Database } from "@minimcp/db";
import { type HostCounts, receipts } from "@minimcp/db/schema";
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
  /** Calls of the server itself to upstream hosts, by host. */
  hosts: Record<string, HostCounts>;
  /** True when earlier counts were lost. */
  incomplete: boolean;
}

/** A server with a great many tool names must not grow a receipt without end. */
const maxToolNames = 500;
/** Nor one that asks for hosts of its own invention: those beyond are counted under one name. */
const maxHostNames = 100;
export const otherHosts = "(others)";

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
          hosts: Object.keys(count.hosts).length === 0 ? undefined : addHosts(count.hosts),
          incomplete: sql`${receipts.incomplete} or ${count.incomplete}`,
          updatedAt: sql`now()`,
        })
        .where(and(eq(receipts.instanceId, instanceId), isNull(receipts.closedAt)));
    }
  });
}

/** Those with the most traffic keep their names, so that a flood of refused ones cannot hide an allowed one. */
function addHosts(hosts: Record<string, HostCounts>) {
  return sql`(
    select jsonb_object_agg(host, jsonb_build_object(
      'requests', requests, 'denied', denied, 'bytesOut', bytes_out, 'bytesIn', bytes_in)) from (
      select case when place <= ${maxHostNames} then host else ${otherHosts} end as host, sum(requests) as requests,
        sum(denied) as denied, sum(bytes_out) as bytes_out, sum(bytes_in) as bytes_in from (
        select key as host, sum((value ->> 'requests')::bigint) as requests,
          sum((value ->> 'denied')::bigint) as denied, sum((value ->> 'bytesOut')::bigint) as bytes_out,
          sum((value ->> 'bytesIn')::bigint) as bytes_in,
          row_number() over (order by sum((value ->> 'requests')::bigint) desc,
            sum((value ->> 'denied')::bigint) desc, key) as place
        from (select * from jsonb_each(${receipts.hosts})
              union all select * from jsonb_each(${JSON.stringify(hosts)}::jsonb)) as added
        group by key
      ) as summed group by 1
    ) as kept)`;
}
