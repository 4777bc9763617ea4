import type { ServerOptions } from "node:https";

import type { IngressLimits } from "./limits.ts";
import type { Verdict } from "./verdict.ts";

export interface IngressOptions {
  /**
   * Judges the form of a token (prefix, length, checksum) without any look-up.
   *
   * @returns the digest to look up, or null
   */
  digestToken(token: string): Buffer | null;
  /**
   * The worker's verdict on a well-formed token. It is asked for every request, so it must be a cached answer or one
   * indexed read.
   *
   * @param signal aborts when the client is gone or `authorizeWaitMs` is over
   */
  authorize(request: { instanceId: string; tokenDigest: Buffer }, signal: AbortSignal): Promise<Verdict>;
  /**
   * Values of the Host header that are served (`host:port`, lower case). Read at each request, so that the port can
   * be added once the server listens.
   */
  allowedHosts: readonly string[];
  /** Origins of browsers that may call. A request without an Origin is no browser's and passes. */
  allowedOrigins: readonly string[];
  limits?: Partial<IngressLimits>;
  /** Certificate, key and versions. Without it the ingress speaks plain HTTP, for loopback or behind a proxy. */
  tls?: ServerOptions | undefined;
  /**
   * Called at the end of each call that was admitted, or refused for a reason other than `unknown`: what nobody can
   * attribute must not grow the caller's memory. Must not throw.
   */
  onCall?(record: CallRecord): void;
  /** The cause behind an answer that tells no details, for the operator's log. Must not throw. */
  onError?(cause: unknown, instanceId: string | null): void;
  /** The answer of `/readyz`. Default: always ready. */
  ready?(): boolean;
}

export interface CallRecord {
  instanceId: string;
  httpMethod: RelayedMethod;
  /** JSON-RPC method; null for GET and DELETE, for an answer of the client, and where no body was read. */
  method: string | null;
  /** The tool of a `tools/call`. */
  tool: string | null;
  /** What the client was answered; 499 when it was gone before. */
  status: number;
  /** Body bytes. */
  requestBytes: number;
  responseBytes: number;
  durationMs: number;
  /**
   * `ok`: the child's answer, whatever its status, went out whole. `denied`: refused by the verdict. `aborted`: the
   * client went away. `failed`: everything else.
   */
  outcome: "ok" | "denied" | "failed" | "aborted";
}

export type RelayedMethod = "POST" | "GET" | "DELETE";
