import type { Database, Transaction } from "@minimcp/db";
import { signingKeys, userDataKeys } from "@minimcp/db/schema";
import { eq } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { system } from "../principal.ts";
import { EnvelopeError } from "./envelope.ts";
import { type Keyring, KeyringError } from "./keyring.ts";
import { createVault, type Vault } from "./vault.ts";

/** How many values of a kind prove a key. More than one, because a single damaged row must not keep the product down. */
const proofs = 5;

/**
 * Refuses to start with a keyring that cannot open what is stored: better no service than one that seals new
 * things under a key nobody kept while the old ones stay shut.
 * @throws KeyringError naming every key that is needed and missing, or is another than its name says
 */
export async function checkKeyring(db: Database, keyring: Keyring): Promise<void> {
  const vault = createVault(keyring);
  const unusable = await db.as(databaseActor(system("boot")), async (tx) => {
    const wrapping = await tx.selectDistinct({ kid: userDataKeys.kekKid }).from(userDataKeys);
    const signing = await tx.selectDistinct({ kid: signingKeys.kekKid }).from(signingKeys);
    const needed = new Set([...wrapping, ...signing].map((row) => row.kid));
    const failed: string[] = [];
    for (const kid of needed) if (!(await opensSomething(tx, vault, kid))) failed.push(kid);
    return failed;
  });
  const missing = unusable.filter((kid) => !keyring.keys.has(kid));
  const wrong = unusable.filter((kid) => keyring.keys.has(kid));
  if (unusable.length === 0) return;
  throw new KeyringError(
    [
      missing.length > 0 && `MASTER_KEY lacks ${missing.join(", ")}, which stored secrets are sealed with.`,
      wrong.length > 0 &&
        `MASTER_KEY has another key under the name ${wrong.join(", ")} than stored secrets are sealed with.`,
      "Put the key that this installation was set up with back; nothing was changed.",
    ]
      .filter((sentence) => sentence !== false)
      .join(" "),
  );
}

async function opensSomething(tx: Transaction, vault: Vault, kid: string): Promise<boolean> {
  if (!vault.keyring.keys.has(kid)) return false;
  const dataKeys = await tx
    .select({
      id: userDataKeys.id,
      userId: userDataKeys.userId,
      wrapped: userDataKeys.wrapped,
      kekKid: userDataKeys.kekKid,
    })
    .from(userDataKeys)
    .where(eq(userDataKeys.kekKid, kid))
    .limit(proofs);
  const pairs = await tx
    .select({ kid: signingKeys.kid, wrapped: signingKeys.privateWrapped, kekKid: signingKeys.kekKid })
    .from(signingKeys)
    .where(eq(signingKeys.kekKid, kid))
    .limit(proofs);
  return (
    dataKeys.some((row) => opens(() => vault.unwrapDataKey(row).key)) ||
    pairs.some((row) => opens(() => vault.openSigningKey(row.kid, row.wrapped, row.kekKid)))
  );
}

function opens(attempt: () => Buffer): boolean {
  try {
    attempt().fill(0);
    return true;
  } catch (error) {
    if (error instanceof EnvelopeError) return false;
    throw error;
  }
}
