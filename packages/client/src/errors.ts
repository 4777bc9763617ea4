import type { ErrorReason, InputIssue } from "@minimcp/shared";

/** What a call can fail with before, after, or instead of an answer of a MiniMCP server. */
export type ClientReason =
  /** No answer: nothing listens there, the connection broke, or something in between answered. */
  | "client.network"
  /** No answer within `timeoutMs`. Whether a mutation was carried out is unknown. */
  | "client.timeout"
  /** The caller's AbortSignal. `cause` is its reason. */
  | "client.aborted"
  /** What answers is not a MiniMCP server, or one too old or too new for this client. */
  | "client.incompatibleServer"
  /** The instance that was waited for could not start. */
  | "client.instanceFailed"
  /** The instance that was waited for is over. */
  | "client.instanceEnded";

export type MiniMcpErrorReason = ErrorReason | ClientReason;

export interface MiniMcpErrorDetails {
  cause?: unknown;
  httpStatus?: number | undefined;
  issues?: readonly InputIssue[] | undefined;
  requestId?: string | undefined;
  retryAfterSeconds?: number | undefined;
}

/** Every failure of this client. Decide by `reason`; `message` is for people and says what to do next. */
export class MiniMcpError extends Error {
  readonly reason: MiniMcpErrorReason;
  /** The status of the HTTP answer, where there was one. */
  readonly httpStatus: number | undefined;
  /** What is wrong with the input, field by field. */
  readonly issues: readonly InputIssue[];
  /** Under this the server's operator finds the call in logs and audit trail. */
  readonly requestId: string | undefined;
  /** After how many seconds a retry can succeed, where the server said so. */
  readonly retryAfterSeconds: number | undefined;

  constructor(reason: MiniMcpErrorReason, message: string, details: MiniMcpErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.name = "MiniMcpError";
    this.reason = reason;
    this.httpStatus = details.httpStatus;
    this.issues = details.issues ?? [];
    this.requestId = details.requestId;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

/**
 * Tells whether something thrown is a MiniMcpError for one of these reasons.
 * @example
 * ```ts
 * import { isReason, type MiniMcpClient } from "@minimcp/client";
 *
 * export async function deleteIfThere(client: MiniMcpClient, id: string): Promise<void> {
 *   try {
 *     await client.apiKey.delete.mutate({ id });
 *   } catch (error) {
 *     if (!isReason(error, "apiKey.notFound")) throw error;
 *   }
 * }
 * ```
 */
export function isReason<Reason extends MiniMcpErrorReason>(
  error: unknown,
  ...reasons: readonly Reason[]
): error is MiniMcpError & { readonly reason: Reason } {
  return error instanceof MiniMcpError && (reasons as readonly MiniMcpErrorReason[]).includes(error.reason);
}
