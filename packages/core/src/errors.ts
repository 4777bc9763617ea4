/**
 * Every way in which MiniMCP says no, as one closed union. A caller decides by the reason; the sentence is for
 * people and says what to do next.
 */
export type ErrorReason =
  | "auth.badCredentials"
  | "auth.busy"
  | "auth.emailTaken"
  | "auth.invitationInvalid"
  | "auth.refreshTokenInvalid"
  | "auth.refreshTokenReused"
  | "auth.sessionEnded"
  | "auth.signInRequired"
  | "auth.signUpClosed"
  | "auth.tokenExpired"
  | "auth.tokenInvalid"
  | "permission.denied"
  | "permission.userRequired"
  | "user.notFound"
  | "apiKey.labelTaken"
  | "apiKey.notFound"
  | "mcp.configNotAccepted"
  | "mcp.idempotencyKeyReused"
  | "mcp.instanceLimit"
  | "mcp.keyNotAccepted"
  | "mcp.keyRequired"
  | "mcp.keyWrongProvider"
  | "mcp.lifetimeLimit"
  | "mcp.noCapacity"
  | "mcp.noWorker"
  | "mcp.notFound"
  | "mcp.over"
  | "mcp.renewalsUsedUp"
  | "mcp.renewalTooShort"
  | "mcp.typeUnknown"
  | "audit.unavailable"
  | "input.invalid"
  | "input.notFound"
  | "input.tooLarge"
  | "input.unsupportedMediaType"
  | "stream.limitReached"
  | "server.internal"
  | "server.unavailable"
  | "vault.openFailed";

export type ErrorKind =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "notFound"
  | "conflict"
  | "precondition"
  | "limit"
  | "unavailable"
  | "internal";

/** One thing wrong with an input: where, and what. Never the value. */
export interface InputIssue {
  path: readonly (string | number)[];
  message: string;
}

interface AppErrorOptions extends ErrorOptions {
  issues?: readonly InputIssue[];
  /** After how many seconds a retry can succeed, where that is known. */
  retryAfterSeconds?: number;
}

/** A refusal that its caller may read. Anything else that is thrown is a defect and reaches nobody in words. */
export abstract class AppError extends Error {
  abstract readonly kind: ErrorKind;
  readonly reason: ErrorReason;
  readonly issues: readonly InputIssue[];
  readonly retryAfterSeconds: number | undefined;

  constructor(reason: ErrorReason, message: string, options: AppErrorOptions = {}) {
    super(message, options);
    this.name = new.target.name;
    this.reason = reason;
    this.issues = options.issues ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export class InvalidInput extends AppError {
  readonly kind = "invalid";
}
export class Unauthenticated extends AppError {
  readonly kind = "unauthenticated";
}
export class Forbidden extends AppError {
  readonly kind = "forbidden";
}
export class NotFound extends AppError {
  readonly kind = "notFound";
}
export class Conflict extends AppError {
  readonly kind = "conflict";
}
export class PreconditionFailed extends AppError {
  readonly kind = "precondition";
}
export class LimitReached extends AppError {
  readonly kind = "limit";
}
export class Unavailable extends AppError {
  readonly kind = "unavailable";
}
