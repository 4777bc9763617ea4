import type { Database } from "@minimcp/db";
import { signingKeys } from "@minimcp/db/schema";
import { inArray } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { system } from "../principal.ts";
import type { Vault } from "../vault/vault.ts";
import {
  createAccessTokens,
  createSigningKey,
  type AccessTokens,
  type SigningKeyRow,
} from "./access-token.ts";

/**
 * Loads the installation's signing keys, making the first pair where there is none. Two processes that start
 * at once agree on one.
 * @throws EnvelopeError when the keyring cannot open the active key
 */
export async function loadAccessTokens(db: Database, vault: Vault, issuer: string): Promise<AccessTokens> {
  const stored = await readKeys(db);
  if (!stored.some((key) => key.state === "active")) {
    const created = await createSigningKey(vault);
    await db.as(databaseActor(system("api")), (tx) =>
      tx
        .insert(signingKeys)
        .values({ ...created, state: "active" })
        .onConflictDoNothing(),
    );
  }
  const keys = await readKeys(db);
  const active = keys.find((key) => key.state === "active");
  if (active === undefined) throw new Error("there is no active signing key although one was just created");
  return await createAccessTokens({ issuer, vault, active, verifying: keys });
}

async function readKeys(db: Database): Promise<(SigningKeyRow & { state: string })[]> {
  return await db.as(databaseActor(system("api")), (tx) =>
    tx
      .select({
        kid: signingKeys.kid,
        state: signingKeys.state,
        publicJwk: signingKeys.publicJwk,
        privateWrapped: signingKeys.privateWrapped,
        kekKid: signingKeys.kekKid,
      })
      .from(signingKeys)
      .where(inArray(signingKeys.state, ["active", "verifying"])),
  );
}
