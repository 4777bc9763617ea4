import type { InstanceEndReason, InstanceState, InstanceView, IsolationView } from "@minimcp/client";

/** An instance as pages show it while it changes: plain JSON, times in ms of the server's clock. */
export interface LiveInstance {
  id: string;
  type: string;
  label: string | null;
  state: InstanceState;
  endReason: InstanceEndReason | null;
  failure: string | null;
  endpoint: string;
  createdAtMs: number;
  expiresAtMs: number;
  /** How often its deadline can still be moved, and how far. */
  renewalsLeft: number;
  latestExpiresAtMs: number;
  endedAtMs: number | null;
  isolation: IsolationView | null;
  calls: number;
}

/** What was seen at one moment. */
export interface Seen<T> {
  /** By the dashboard's clock, since the browser's may be wrong. */
  nowMs: number;
  value: T;
}

export function seenNow<T>(value: T): Seen<T> {
  return { nowMs: Date.now(), value };
}

export function toLiveInstance(view: InstanceView): LiveInstance {
  const { id, type, label, state, endReason, failure, endpoint, isolation, calls, renewalsLeft } = view;
  return {
    id,
    type,
    label,
    state,
    endReason,
    failure,
    endpoint,
    isolation,
    calls,
    renewalsLeft,
    latestExpiresAtMs: view.latestExpiresAt.getTime(),
    createdAtMs: view.createdAt.getTime(),
    expiresAtMs: view.expiresAt.getTime(),
    endedAtMs: view.endedAt?.getTime() ?? null,
  };
}

export function isOver({ state }: Pick<LiveInstance, "state">): boolean {
  return state === "ended" || state === "failed";
}
