import { type Answer, problemOf, retryAfter } from "./answer.ts";

/** Why a token that was once valid is refused; the end reasons of an instance, and `failed`. */
export type RefusalReason =
  | "unknown"
  | "expired"
  | "revoked"
  | "suspended"
  | "keyDeleted"
  | "lockdown"
  | "memory"
  | "cpu"
  | "crashLoop"
  | "accountDeleted"
  | "failed";

/** The instance that an admitted call goes to. */
export interface Target {
  instanceId: string;
  /**
   * Resolves to the path of the child's socket as soon as the child is ready.
   *
   * @param signal aborts when the client is gone or `startWaitMs` is over
   */
  socket(signal: AbortSignal): Promise<string>;
  /**
   * Aborts when the lease ends: every open call of the lease is cut. It must be the same object for the whole
   * lease, since the connections to the child are kept by it.
   */
  ended: AbortSignal;
}

export type Verdict =
  | { kind: "admitted"; target: Target }
  | {
      kind: "refused";
      reason: RefusalReason;
      /** When the instance ended, where that is known. */
      at?: Date;
    }
  | { kind: "unavailable"; retryAfterSeconds: number; reason: string };

const sentences: Record<RefusalReason, string> = {
  unknown:
    "The access token is not valid for this instance. Copy endpoint and token again, or create a new instance.",
  expired: "The instance has expired. Create a new one.",
  revoked: "The access was revoked. Create a new instance.",
  suspended: "The account is suspended. Ask an administrator.",
  keyDeleted: "The API key of this instance was deleted. Store a key and create a new instance.",
  lockdown: "MiniMCP is in lockdown. Ask an administrator.",
  memory: "The instance used too much memory and was ended. Create a new one.",
  cpu: "The instance used too much processor time and was ended. Create a new one.",
  crashLoop: "The instance crashed again and again and was ended. Read its log, then create a new one.",
  accountDeleted: "The account of this instance was deleted.",
  failed: "The instance could not be started. Read its log, then create a new one.",
};

/**
 * The 401 of RFC 6750 section 3. It names no `resource_metadata` (RFC 9728): there is no authorization server,
 * and clients would start a sign-in that cannot end.
 */
export function refusal(verdict: Extract<Verdict, { kind: "refused" }>): Answer {
  const { reason } = verdict;
  // `unknown` covers a damaged, a foreign and an invented token alike: nothing may tell one from another.
  const at = reason === "unknown" ? undefined : verdict.at?.toISOString();
  const description = sentences[reason];
  const detail = at === undefined ? description : `${description} It ended at ${at}.`;
  return problemOf(401, reason, detail, { at }, [
    "WWW-Authenticate",
    `Bearer realm="MiniMCP", error="invalid_token", error_description="${description}"`,
  ]);
}

/** RFC 6750 section 3.1: a request without credentials gets no error code. */
export const missingCredentials: Answer = problemOf(
  401,
  "missing",
  "Send the instance's access token in the Authorization header: Bearer mcp_…",
  {},
  ["WWW-Authenticate", 'Bearer realm="MiniMCP"'],
);

/** A token in a URL ends in histories and logs (RFC 6750 section 5.3), so it is refused even when it is right. */
export const tokenInQuery: Answer = problemOf(
  401,
  "tokenInQuery",
  "An access token must not be part of a URL. Send it in the Authorization header, and replace this one.",
  {},
  [
    "WWW-Authenticate",
    'Bearer realm="MiniMCP", error="invalid_request", error_description="Send the token in the Authorization header."',
  ],
);

export function unavailable(verdict: Extract<Verdict, { kind: "unavailable" }>): Answer {
  return problemOf(
    503,
    verdict.reason,
    "The instance cannot answer right now. Try again after the time in Retry-After.",
    {},
    retryAfter(verdict.retryAfterSeconds),
  );
}
