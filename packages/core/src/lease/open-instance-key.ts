import type { Database, Transaction } from "@minimcp/db";
import { apiKeys, instances, userDataKeys } from "@minimcp/db/schema";
import { and, eq, gt, inArray, isNull, sql } from "drizzle-orm";

import { appendAudit } from "../audit.ts";
import { EnvelopeError } from "../vault/envelope.ts";
import type { Vault } from "../vault/vault.ts";
import { workerRequest } from "./close-instance.ts";
import { heldBy, type NodeIdentity, workerActor } from "./lease.ts";

/** Why a key was not released. */
export class KeyReleaseError extends Error {
  override readonly name = "KeyReleaseError";
  /** `notHeld`: nothing of that instance is this node's to open now. `damaged`: what is stored does not open. */
  readonly reason: "notHeld" | "damaged";

  constructor(reason: KeyReleaseError["reason"]) {
    super(
      reason === "notHeld"
        ? "the key of an instance is released to the node that holds the living instance, and to nobody else"
        : "Its API key cannot be opened. Store the key again, and create a new instance with it.",
    );
    this.reason = reason;
  }
}

/**
 * Opens the API key of an instance, for the node that holds it: while its lease, its deadline and its key last. The
 * first time under each claim leaves an audit event, whether it opened or not.
 * @returns the secret; the caller fills it with zeros when the lease is over
 * @throws KeyReleaseError
 */
export async function openInstanceKey(
  db: Database,
  node: NodeIdentity,
  lease: { instanceId: string; fence: number },
  vault: Pick<Vault, "unwrapDataKey" | "openApiKey">,
): Promise<Buffer> {
  let secret: Buffer | null = null;
  try {
    await db.as(workerActor, async (tx) => {
      const key = await lockKey(tx, node, lease);
      secret = open(vault, key);
      await recordUse(tx, lease, key, secret !== null);
    });
  } catch (error) {
    // Released under a transaction that was not written: then it was not released.
    (secret as Buffer | null)?.fill(0);
    throw error;
  }
  if (secret === null) throw new KeyReleaseError("damaged");
  return secret;
}

interface LockedKey {
  id: string;
  userId: string;
  sealed: Buffer;
  dataKeyId: string;
  wrapped: Buffer;
  kekKid: string;
  isFirstUse: boolean;
}

/**
 * First the key, then the instance, as whoever deletes the key locks them: either this waits and finds it gone, or the
 * deletion waits and ends the instance afterwards.
 */
async function lockKey(
  tx: Transaction,
  node: NodeIdentity,
  lease: { instanceId: string; fence: number },
): Promise<LockedKey> {
  const [used] = await tx.select({ id: instances.apiKeyId }).from(instances).where(heldBy(node, lease));
  if (!used?.id) throw new KeyReleaseError("notHeld");
  const [key] = await tx
    .select({
      id: apiKeys.id,
      userId: apiKeys.userId,
      sealed: apiKeys.sealed,
      dataKeyId: apiKeys.dataKeyId,
    })
    .from(apiKeys)
    .where(and(eq(apiKeys.id, used.id), isNull(apiKeys.deletedAt)))
    .for("no key update");
  const [instance] = await tx
    .select({ keyOpenedFence: instances.keyOpenedFence })
    .from(instances)
    .where(
      and(
        heldBy(node, lease),
        gt(instances.leaseUntil, sql`clock_timestamp()`),
        gt(instances.expiresAt, sql`clock_timestamp()`),
        inArray(instances.state, ["starting", "ready", "idle"]),
      ),
    )
    .for("no key update");
  if (!key?.sealed || instance === undefined) throw new KeyReleaseError("notHeld");
  const [dataKey] = await tx
    .select({ wrapped: userDataKeys.wrapped, kekKid: userDataKeys.kekKid })
    .from(userDataKeys)
    .where(eq(userDataKeys.id, key.dataKeyId));
  if (dataKey === undefined) throw new Error("an API key has no data key");
  return {
    ...key,
    ...dataKey,
    sealed: key.sealed,
    isFirstUse: instance.keyOpenedFence !== lease.fence,
  };
}

/** Null when it does not open; nobody learns why. */
function open(vault: Pick<Vault, "unwrapDataKey" | "openApiKey">, row: LockedKey): Buffer | null {
  const { id, userId, sealed, dataKeyId, wrapped, kekKid } = row;
  try {
    const dataKey = vault.unwrapDataKey({ id: dataKeyId, userId, wrapped, kekKid });
    try {
      return vault.openApiKey(dataKey, id, sealed);
    } finally {
      dataKey.key.fill(0);
    }
  } catch (error) {
    if (error instanceof EnvelopeError) return null;
    throw error;
  }
}

async function recordUse(
  tx: Transaction,
  lease: { instanceId: string; fence: number },
  key: LockedKey,
  isOpen: boolean,
): Promise<void> {
  if (isOpen) {
    await tx
      .update(apiKeys)
      .set({ lastUsedAt: sql`now()` })
      .where(eq(apiKeys.id, key.id));
  }
  if (!key.isFirstUse) return;
  await tx.update(instances).set({ keyOpenedFence: lease.fence }).where(eq(instances.id, lease.instanceId));
  await appendAudit(tx, workerRequest, {
    action: "apiKey.use",
    resourceType: "apiKey",
    resourceId: key.id,
    newValue: lease,
    ...(isOpen ? {} : { result: "failure", errorMessage: "vault.openFailed" }),
  });
}
