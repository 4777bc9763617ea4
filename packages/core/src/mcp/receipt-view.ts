import type { Transaction } from "@minimcp/db";
import { instances, receipts, serverTypes } from "@minimcp/db/schema";
import { eq } from "drizzle-orm";

import { type IsolationView, viewIsolation } from "../isolation.ts";
import { ServerTypeDeclaration } from "../server-type/declaration.ts";
import type { InstanceEndReason, InstanceState } from "./instance-view.ts";

/** What an instance was allowed, and what it did. */
export interface ReceiptView {
  instanceId: string;
  type: string;
  state: InstanceState;
  endReason: InstanceEndReason | null;
  createdAt: Date;
  readyAt: Date | null;
  endedAt: Date | null;
  isolation: IsolationView | null;
  granted: { tools: string[]; hosts: string[] };
  used: { tools: { name: string; calls: number }[] };
  /** Requests that reached the server, that were refused before it, and that it did not answer. */
  calls: number;
  denials: number;
  failures: number;
  requestBytes: number;
  responseBytes: number;
  /** False while the instance can still add to it. */
  final: boolean;
  /** True when a node died while it held the instance: up to a second of counts may be missing. */
  incomplete: boolean;
}

/** Reads a receipt through the row policies of the transaction; undefined when there is none to see. */
export async function readReceipt(tx: Transaction, instanceId: string): Promise<ReceiptView | undefined> {
  const [row] = await tx
    .select({
      type: instances.typeId,
      state: instances.state,
      endReason: instances.endReason,
      createdAt: instances.createdAt,
      readyAt: instances.readyAt,
      endedAt: instances.endedAt,
      isolation: instances.isolation,
      declaration: serverTypes.declaration,
      toolCalls: receipts.toolCalls,
      calls: receipts.calls,
      denials: receipts.denials,
      failures: receipts.failures,
      requestBytes: receipts.requestBytes,
      responseBytes: receipts.responseBytes,
      closedAt: receipts.closedAt,
      incomplete: receipts.incomplete,
    })
    .from(receipts)
    .innerJoin(instances, eq(instances.id, receipts.instanceId))
    .innerJoin(serverTypes, eq(serverTypes.id, instances.typeId))
    .where(eq(receipts.instanceId, instanceId));
  if (row === undefined) return undefined;
  const { declaration, toolCalls, closedAt, isolation, ...rest } = row;
  const { tools, hosts } = ServerTypeDeclaration.parse(declaration);
  return {
    instanceId,
    ...rest,
    isolation: viewIsolation(isolation),
    granted: { tools: tools.map((tool) => tool.name), hosts },
    used: {
      tools: Object.entries(toolCalls)
        .map(([name, calls]) => ({ name, calls }))
        .toSorted((a, b) => b.calls - a.calls || a.name.localeCompare(b.name)),
    },
    final: closedAt !== null,
  };
}
