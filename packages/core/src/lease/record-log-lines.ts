import type { Database } from "@minimcp/db";
import type { logStreams } from "@minimcp/db/schema";
import { instanceLogLines, instances } from "@minimcp/db/schema";
import { and, eq, sql } from "drizzle-orm";

import { maxKeptLogBytes, maxKeptLogLines } from "../mcp/log-line.ts";
import { isLive, type NodeIdentity, workerActor } from "./lease.ts";

/** A line of a child's output, redacted. */
export interface LogLineRecord {
  instanceId: string;
  fence: number;
  /** How many bytes had been written under this claim when it was complete. */
  position: number;
  /** How many of those were its own. */
  bytes: number;
  /** Milliseconds since the epoch. */
  at: number;
  stream: (typeof logStreams)[number];
  text: string;
}

/** What a row costs besides its text, so that empty lines are not free. */
const rowOverheadBytes = 64;

/**
 * Stores lines of instances that this node holds; those of others are left out. Storing a line again changes nothing, so
 * that a call whose outcome is unknown can be repeated.
 * @param trim ids of instances whose old lines are cut off beyond what is kept
 */
export async function recordLogLines(
  db: Database,
  node: NodeIdentity,
  lines: readonly LogLineRecord[],
  trim: readonly string[],
): Promise<void> {
  await db.as(workerActor, async (tx) => {
    await tx.execute(sql`
      insert into ${instanceLogLines} (instance_id, user_id, fence, position, bytes, at, stream, text)
      select ${instances.id}, ${instances.userId}, line.fence, line.position, line.bytes,
        to_timestamp(line.at / 1000.0), line.stream, line.text
      from jsonb_to_recordset(${JSON.stringify(lines)}::jsonb)
        as line ("instanceId" uuid, fence bigint, position bigint, bytes int, at float8, stream text, text text)
      join ${instances} on ${instances.id} = line."instanceId"
      where ${and(
        eq(instances.fence, sql`line.fence`),
        eq(instances.nodeId, node.nodeId),
        eq(instances.nodeEpoch, node.epoch),
        isLive,
      )}
      on conflict do nothing`);
    if (trim.length === 0) return;
    await tx.execute(sql`
      delete from ${instanceLogLines} as line using (
        select instance_id, fence, position, row_number() over newest as lines,
          sum(octet_length(text) + ${rowOverheadBytes}) over newest as bytes
        from ${instanceLogLines}
        where instance_id in (select value::uuid from jsonb_array_elements_text(${JSON.stringify(trim)}::jsonb))
        window newest as (partition by instance_id order by fence desc, position desc)
      ) as kept
      where (line.instance_id, line.fence, line.position) = (kept.instance_id, kept.fence, kept.position)
        and (kept.lines > ${maxKeptLogLines} or kept.bytes > ${maxKeptLogBytes})`);
  });
}
