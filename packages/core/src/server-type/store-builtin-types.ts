import type { Database } from "@minimcp/db";
import { serverTypes } from "@minimcp/db/schema";
import { sql } from "drizzle-orm";

import { databaseActor } from "../context.ts";
import { system } from "../principal.ts";
import { everything } from "./everything.ts";

const builtinTypes = [everything];

/**
 * Brings the types that ship with the product into the catalogue. An administrator's choice to disable one stays.
 * @param db opened as the owner: no running process may write the catalogue
 */
export async function storeBuiltinTypes(db: Database): Promise<void> {
  await db.as(databaseActor(system("migrate")), async (tx) => {
    for (const declaration of builtinTypes) {
      const values = { version: declaration.version, declaration, updatedAt: sql`now()` };
      await tx
        .insert(serverTypes)
        .values({ id: declaration.id, ...values })
        .onConflictDoUpdate({ target: serverTypes.id, set: values });
    }
  });
}
