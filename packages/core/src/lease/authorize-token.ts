import type { Database } from "@minimcp/db";
import { instances, instanceTokens } from "@minimcp/db/schema";
import { and, eq, sql } from "drizzle-orm";

import type { InstanceEndReason } from "../mcp/instance-view.ts";
import { workerActor } from "./lease.ts";

/** What a bearer token of an instance is good for at this moment. */
export type TokenVerdict =
  /** `nodeId`: who holds the instance at this moment, under which claim; null while nobody does. */
  | { kind: "live"; nodeId: string | null; fence: number }
  | { kind: "over"; reason: InstanceEndReason | "failed"; at: Date }
  | { kind: "unknown" };

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Asks the database about a token of an instance. A token of another instance is as unknown as none. */
export async function authorizeToken(
  db: Database,
  instanceId: string,
  tokenHash: Buffer,
): Promise<TokenVerdict> {
  // The address comes from anybody, and PostgreSQL fails on what is no UUID instead of finding nothing.
  if (!uuid.test(instanceId)) return { kind: "unknown" };
  const [row] = await db.as(workerActor, (tx) =>
    tx
      .select({
        state: instances.state,
        endReason: instances.endReason,
        endedAt: instances.endedAt,
        expiresAt: instances.expiresAt,
        due: sql<boolean>`${instances.expiresAt} <= clock_timestamp()`,
        // Revoked whatever the time: under a clock that was set back since, that moment may lie ahead.
        tokenDead: sql<boolean>`${instanceTokens.revokedAt} is not null or ${instanceTokens.expiresAt} <= clock_timestamp()`,
        tokenEnd: sql<string>`least(${instanceTokens.revokedAt}, ${instanceTokens.expiresAt})`,
        nodeId: instances.nodeId,
        held: sql<boolean>`coalesce(${instances.leaseUntil} > clock_timestamp(), false)`,
        fence: instances.fence,
      })
      .from(instanceTokens)
      .innerJoin(instances, eq(instances.id, instanceTokens.instanceId))
      .where(and(eq(instanceTokens.tokenHash, tokenHash), eq(instanceTokens.instanceId, instanceId))),
  );
  if (row === undefined) return { kind: "unknown" };
  if (row.state === "failed") return { kind: "over", reason: "failed", at: row.endedAt ?? row.expiresAt };
  if (row.endReason !== null) return { kind: "over", reason: row.endReason, at: row.endedAt ?? new Date() };
  if (row.due) return { kind: "over", reason: "expired", at: row.expiresAt };
  if (row.tokenDead) return { kind: "over", reason: "revoked", at: new Date(row.tokenEnd) };
  return { kind: "live", nodeId: row.held ? row.nodeId : null, fence: row.fence };
}
