import type { Transaction } from "@minimcp/db";
import { nodes, serverTypes } from "@minimcp/db/schema";
import { and, asc, desc, eq, gt, sql } from "drizzle-orm";

import { ServerTypeDeclaration } from "./declaration.ts";

/** The declarations that new instances can be made of, by id. */
export async function readServerTypes(tx: Transaction, id?: string): Promise<ServerTypeDeclaration[]> {
  const rows = await tx
    .select({ declaration: serverTypes.declaration })
    .from(serverTypes)
    .where(and(eq(serverTypes.enabled, true), id === undefined ? undefined : eq(serverTypes.id, id)))
    .orderBy(asc(serverTypes.id));
  return rows.map((row) => ServerTypeDeclaration.parse(row.declaration));
}

/** The isolation that the living nodes measured; null while no worker is there. */
export async function readNodeIsolation(tx: Transaction): Promise<unknown> {
  const [node] = await tx
    .select({ isolation: nodes.isolation })
    .from(nodes)
    .where(gt(nodes.aliveUntil, sql`now()`))
    .orderBy(desc(nodes.startedAt))
    .limit(1);
  return node?.isolation ?? null;
}
