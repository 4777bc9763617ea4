import type { Transaction } from "@minimcp/db";
import { sql } from "drizzle-orm";

import type { Settings } from "../context.ts";
import { LimitReached, Unavailable } from "../errors.ts";

/**
 * Makes sure that there is a place for an instance that this transaction has inserted. Creations take turns from here to
 * their commit, so call it last; a process that stops in between holds the others up for no longer than PostgreSQL lets
 * a transaction idle.
 * @throws LimitReached `mcp.instanceLimit`
 * @throws Unavailable `mcp.noCapacity`
 */
export async function takePlace(
  tx: Transaction,
  { instancesPerUser }: Pick<Settings, "instancesPerUser">,
  userId: string,
): Promise<void> {
  const { rows } = await tx.execute<{ outcome: "taken" | "userLimit" | "noCapacity" }>(
    sql`select app.take_place(${userId}, ${instancesPerUser}) as outcome`,
  );
  if (rows[0]?.outcome === "userLimit") {
    throw new LimitReached(
      "mcp.instanceLimit",
      `You may have ${instancesPerUser} live instances at a time, and you have. Revoke one that you no longer need, or wait for one to expire.`,
    );
  }
  if (rows[0]?.outcome !== "taken") {
    throw new Unavailable(
      "mcp.noCapacity",
      "Every place for an instance is taken. Try again when one has ended; an administrator can raise INSTANCES_PER_NODE (and widen INSTANCE_UIDS where the worker runs as root) or add a worker.",
    );
  }
}
