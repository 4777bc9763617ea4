import { bigint, integer, pgTable, primaryKey, uuid } from "drizzle-orm/pg-core";

import { instances } from "./instances.ts";
import { nodes } from "./nodes.ts";

/**
 * Which instance listens on which loopback port of a node. A row counts for as long as its node holds that instance
 * under that fence, so it ends with the lease of the instance, whatever became of the process that wrote it.
 */
export const portLeases = pgTable(
  "port_leases",
  {
    nodeId: uuid("node_id")
      .notNull()
      .references(() => nodes.id, { onDelete: "cascade" }),
    port: integer("port").notNull(),
    instanceId: uuid("instance_id")
      .notNull()
      .unique("port_leases_instance_key")
      .references(() => instances.id, { onDelete: "cascade" }),
    fence: bigint("fence", { mode: "number" }).notNull(),
  },
  (table) => [
    /** Two instances never listen on one port. */
    primaryKey({ name: "port_leases_pkey", columns: [table.nodeId, table.port] }),
  ],
);
