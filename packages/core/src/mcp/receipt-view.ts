import type { Transaction } from "@minimcp/db";
import { type Granted, type HostCounts, instances, receipts } from "@minimcp/db/schema";
import { eq } from "drizzle-orm";

import { type IsolationView, viewIsolation } from "../isolation.ts";
import type { InstanceEndReason, InstanceState } from "./instance-view.ts";

/** What an instance did at one upstream host. */
export interface HostUse extends HostCounts {
  host: string;
}

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
  granted: Granted;
  used: { tools: { name: string; calls: number }[]; hosts: HostUse[] };
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
      granted: receipts.granted,
      hosts: receipts.hosts,
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
    .where(eq(receipts.instanceId, instanceId));
  if (row === undefined) return undefined;
  const { hosts, toolCalls, closedAt, isolation, ...rest } = row;
  return {
    instanceId,
    ...rest,
    isolation: viewIsolation(isolation),
    used: {
      tools: Object.entries(toolCalls)
        .map(([name, calls]) => ({ name, calls }))
        .toSorted((a, b) => b.calls - a.calls || a.name.localeCompare(b.name)),
      hosts: Object.entries(hosts)
        .map(([host, counts]) => ({ host, ...counts }))
        .toSorted((a, b) => b.requests - a.requests || a.host.localeCompare(b.host)),
    },
    final: closedAt !== null,
  };
}
