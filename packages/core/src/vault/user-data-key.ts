import type { Transaction } from "@minimcp/db";
import { userDataKeys } from "@minimcp/db/schema";
import { and, eq, isNull } from "drizzle-orm";

import type { DataKey, Vault, WrappedDataKey } from "./vault.ts";

const columns = {
  id: userDataKeys.id,
  userId: userDataKeys.userId,
  wrapped: userDataKeys.wrapped,
  kekKid: userDataKeys.kekKid,
};

/** The user's live data key, created at its first use. Two first uses at once agree on one. */
export async function ensureUserDataKey(tx: Transaction, vault: Vault, userId: string): Promise<DataKey> {
  const live = await readLive(tx, userId);
  if (live !== undefined) return vault.unwrapDataKey(live);
  const { row, dataKey } = vault.createDataKey(userId);
  const [inserted] = await tx
    .insert(userDataKeys)
    .values(row)
    .onConflictDoNothing()
    .returning({ id: userDataKeys.id });
  if (inserted !== undefined) return dataKey;
  dataKey.key.fill(0);
  const winner = await readLive(tx, userId);
  if (winner === undefined) throw new Error("a data key was refused as a duplicate, yet there is none");
  return vault.unwrapDataKey(winner);
}

async function readLive(tx: Transaction, userId: string): Promise<WrappedDataKey | undefined> {
  const [row] = await tx
    .select(columns)
    .from(userDataKeys)
    .where(and(eq(userDataKeys.userId, userId), isNull(userDataKeys.supersededAt)));
  return row;
}
