import type { Database, Transaction } from "@minimcp/db";
import { signingKeys, userDataKeys } from "@minimcp/db/schema";
import { eq } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { system } from "../principal.ts";
import { EnvelopeError } from "./envelope.ts";
import { type Keyring, KeyringError } from "./keyring.ts";
import { createVault, type Vault } from "./vault.ts";

/** The kinds of values that are sealed with a key of the keyring itself. */
export type SealedKind = "dataKeys" | "signingKeys";

/** How many values of a kind prove a key. More than one, because a single damaged row must not keep the product down. */
const proofs = 5;

/**
 * Refuses to start with a keyring that cannot open what is stored: better no service than one that seals new
 * things under a key nobody kept while the old ones stay shut.
 * @param sealed what the process can read of it
 * @throws KeyringError naming every key that is needed and missing, or is another than its name says
 */
export async function checkKeyring(
  db: Database,
  keyring: Keyring,
  sealed: readonly SealedKind[],
): Promise<void> {
  const vault = createVault(keyring);
  const unusable = await db.as(databaseActor(system("boot")), async (tx) => {
    const needed = new Set<string>();
    const opened = new Set<string>();
    for (const kind of sealed) {
      for (const kid of await readers[kind].kids(tx)) {
        needed.add(kid);
        if (keyring.keys.has(kid) && (await readers[kind].opensOne(tx, vault, kid))) opened.add(kid);
      }
    }
    return [...needed].filter((kid) => !opened.has(kid));
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

interface SealedReader {
  /** The names of the keys that values of this kind are sealed with. */
  kids(tx: Transaction): Promise<string[]>;
  /** Whether a key opens one of its values. */
  opensOne(tx: Transaction, vault: Vault, kid: string): Promise<boolean>;
}

const readers: Record<SealedKind, SealedReader> = {
  dataKeys: {
    kids: async (tx) =>
      (await tx.selectDistinct({ kid: userDataKeys.kekKid }).from(userDataKeys)).map(({ kid }) => kid),
    async opensOne(tx, vault, kid) {
      const rows = await tx
        .select({
          id: userDataKeys.id,
          userId: userDataKeys.userId,
          wrapped: userDataKeys.wrapped,
          kekKid: userDataKeys.kekKid,
        })
        .from(userDataKeys)
        .where(eq(userDataKeys.kekKid, kid))
        .limit(proofs);
      return rows.some((row) => opens(() => vault.unwrapDataKey(row).key));
    },
  },
  signingKeys: {
    kids: async (tx) =>
      (await tx.selectDistinct({ kid: signingKeys.kekKid }).from(signingKeys)).map(({ kid }) => kid),
    async opensOne(tx, vault, kid) {
      const rows = await tx
        .select({ kid: signingKeys.kid, wrapped: signingKeys.privateWrapped, kekKid: signingKeys.kekKid })
        .from(signingKeys)
        .where(eq(signingKeys.kekKid, kid))
        .limit(proofs);
      return rows.some((row) => opens(() => vault.openSigningKey(row.kid, row.wrapped, row.kekKid)));
    },
  },
};

function opens(attempt: () => Buffer): boolean {
  try {
    attempt().fill(0);
    return true;
  } catch (error) {
    if (error instanceof EnvelopeError) return false;
    throw error;
  }
}
