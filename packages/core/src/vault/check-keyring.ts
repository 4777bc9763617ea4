import type { Database } from "@minimcp/db";
import { signingKeys, userDataKeys } from "@minimcp/db/schema";

import { databaseActor } from "../context.ts";
import { system } from "../principal.ts";
import { type Keyring, KeyringError } from "./keyring.ts";

/**
 * Refuses to start with a keyring that cannot open what is stored: better no service than one that seals new
 * things under a key nobody kept while the old ones stay shut.
 * @throws KeyringError naming every key that is needed and missing
 */
export async function checkKeyring(db: Database, keyring: Keyring): Promise<void> {
  const needed = await db.as(databaseActor(system("boot")), async (tx) => {
    const wrapping = await tx.selectDistinct({ kid: userDataKeys.kekKid }).from(userDataKeys);
    const signing = await tx.selectDistinct({ kid: signingKeys.kekKid }).from(signingKeys);
    return new Set([...wrapping, ...signing].map((row) => row.kid));
  });
  const missing = [...needed].filter((kid) => !keyring.keys.has(kid));
  if (missing.length > 0) {
    throw new KeyringError(
      `MASTER_KEY lacks ${missing.join(", ")}, which stored secrets are sealed with. ` +
        "Put the key that this installation was set up with back; nothing was changed.",
    );
  }
}
