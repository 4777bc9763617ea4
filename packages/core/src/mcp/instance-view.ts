import type { endReasons, instanceStates } from "@minimcp/db/schema";
import { instances, receipts } from "@minimcp/db/schema";

import type { Settings } from "../context.ts";
import { type IsolationView, viewIsolation } from "../isolation.ts";

export type InstanceState = (typeof instanceStates)[number];
export type InstanceEndReason = (typeof endReasons)[number];

/** An instance as its owner sees it. Its token is not in here: it is shown once, when it is minted. */
export interface InstanceView {
  id: string;
  type: string;
  label: string | null;
  apiKeyId: string | null;
  config: Record<string, string>;
  state: InstanceState;
  endReason: InstanceEndReason | null;
  /** Why it failed or was ended at a limit, in words. */
  failure: string | null;
  /** Where an MCP client connects. */
  endpoint: string;
  createdAt: Date;
  /** The deadline: process, sockets, streams and token end then. */
  expiresAt: Date;
  /** How often its deadline can still be moved; 0 when it is over. */
  renewalsLeft: number;
  /** No renewal goes beyond this. */
  latestExpiresAt: Date;
  readyAt: Date | null;
  endedAt: Date | null;
  /** The isolation it really runs at; null until it first ran. */
  isolation: IsolationView | null;
  /** Requests that reached it. */
  calls: number;
}

/** An instance as an administrator sees it: whose it is, too. */
export interface OverseenInstanceView extends InstanceView {
  userId: string;
  nodeId: string | null;
}

/** The columns of a view; select them from instances joined with their receipt. */
export const instanceColumns = {
  id: instances.id,
  type: instances.typeId,
  label: instances.label,
  apiKeyId: instances.apiKeyId,
  config: instances.config,
  state: instances.state,
  endReason: instances.endReason,
  failure: instances.failure,
  createdAt: instances.createdAt,
  expiresAt: instances.expiresAt,
  renewals: instances.renewals,
  readyAt: instances.readyAt,
  endedAt: instances.endedAt,
  isolation: instances.isolation,
  calls: receipts.calls,
};

type Derived = "endpoint" | "isolation" | "renewalsLeft" | "latestExpiresAt";
type InstanceRow = Omit<InstanceView, Derived> & { isolation: unknown; renewals: number };

/** What a view depends on besides the row. */
export type ViewSettings = Pick<Settings, "gatewayUrl" | "renewalsPerInstance" | "renewedLifetimeMinutes">;

export function viewInstance<Row extends InstanceRow>({ renewals, ...row }: Row, settings: ViewSettings) {
  const isRenewable = row.state !== "stopping" && !isOver(row);
  return {
    ...row,
    endpoint: endpointOf(row.id, settings.gatewayUrl),
    isolation: viewIsolation(row.isolation),
    renewalsLeft: isRenewable ? Math.max(0, settings.renewalsPerInstance - renewals) : 0,
    latestExpiresAt: latestEndOf(row, settings),
  };
}

/** The latest deadline that renewals can give it. Where the limit was lowered since, it keeps the one it has. */
export function latestEndOf(
  { createdAt, expiresAt }: Pick<InstanceView, "createdAt" | "expiresAt">,
  { renewedLifetimeMinutes }: Pick<Settings, "renewedLifetimeMinutes">,
): Date {
  return new Date(Math.max(createdAt.getTime() + renewedLifetimeMinutes * 60_000, expiresAt.getTime()));
}

/** Nothing about it changes any more. */
export function isOver({ state }: Pick<InstanceView, "state">): boolean {
  return state === "ended" || state === "failed";
}

export function endpointOf(instanceId: string, gatewayUrl: string): string {
  return `${gatewayUrl}/mcp/${instanceId}`;
}
