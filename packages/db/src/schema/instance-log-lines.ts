import { sql } from "drizzle-orm";
import { bigint, check, integer, pgTable, primaryKey, text, uuid } from "drizzle-orm/pg-core";

import { instant } from "./columns.ts";
import { instances } from "./instances.ts";
import { users } from "./users.ts";

export const logStreams = ["stdout", "stderr"] as const;

/**
 * The end of what an instance's process wrote, redacted, for its owner. The node that holds the instance writes it and
 * keeps it short; what was left out shows in the positions.
 */
export const instanceLogLines = pgTable(
  "instance_log_lines",
  {
    instanceId: uuid("instance_id")
      .notNull()
      .references(() => instances.id, { onDelete: "cascade" }),
    userId: uuid("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    /** The claim under which it was written: two nodes never number the same lines. */
    fence: bigint("fence", { mode: "number" }).notNull(),
    /** How many bytes had been written under this claim when the line was complete: its number, with gaps. */
    position: bigint("position", { mode: "number" }).notNull(),
    /** How many of those were this line's. What lies between two lines was not kept. */
    bytes: integer("bytes").notNull(),
    at: instant("at").notNull(),
    stream: text("stream", { enum: logStreams }).notNull(),
    text: text("text").notNull(),
  },
  (table) => [
    /** Reading on from a line, and cutting off the old end. */
    primaryKey({
      name: "instance_log_lines_pkey",
      columns: [table.instanceId, table.fence, table.position],
    }),
    check("instance_log_lines_stream_known", sql`${table.stream} in ('stdout', 'stderr')`),
    /** The last wall: a row longer than this is a mistake of the writer's. */
    check("instance_log_lines_short", sql`octet_length(${table.text}) <= 16384`),
  ],
);
