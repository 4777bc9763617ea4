/**
 * Why the pool refused or failed. Closed on purpose: a caller can switch over it exhaustively.
 *
 * - `closed`: the pool is shutting down.
 * - `invalidSpec`: the description of the child cannot be run as it stands.
 * - `isolationUnavailable`: the host does not reach the level that was asked for.
 * - `noCapacity`: every uid slot is taken.
 * - `runtimeUnusable`: the runtime directory cannot hold sockets and executables.
 * - `startFailed`: the child ended before it answered.
 * - `startTimeout`: the child did not answer in time.
 */
export type PoolErrorReason =
  | "closed"
  | "invalidSpec"
  | "isolationUnavailable"
  | "noCapacity"
  | "runtimeUnusable"
  | "startFailed"
  | "startTimeout";

export class PoolError extends Error {
  override readonly name = "PoolError";
  readonly reason: PoolErrorReason;

  constructor(reason: PoolErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
