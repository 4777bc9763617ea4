import type { RefusalReason } from "./refusal.ts";

/** What became of one request of a child. It holds no path, query, header or body, so no secret and no content. */
export interface Decision {
  /** Lower case; empty where none could be read. A hostile child chooses it: bound what is kept by host. */
  host: string;
  /** `CONNECT` and `TLS` for a connection that was refused before its first request. */
  method: string;
  /** Whether the rules admit it. */
  allowed: boolean;
  /** Why the broker answered instead of the upstream, or cut its answer. */
  reason?: RefusalReason | "aborted";
  /** What the child was answered; absent when it was gone before. */
  status?: number;
  /** Body bytes sent to the upstream. */
  bytesOut: number;
  /** Body bytes received from the upstream. */
  bytesIn: number;
}
