import "server-only";

import { isReason, MiniMcpError } from "@minimcp/client";

import type { Problem } from "../problem.ts";

/** For somebody who is not signed in, or not any more. */
export const signedOut: Problem = {
  reason: "auth.signInRequired",
  message: "Your session is over. Sign in again.",
  fields: {},
  requestId: null,
  remedy: "signIn",
};

/** @throws what is no MiniMcpError: a defect, which Next reports without its words */
export function toProblem(error: unknown): Problem {
  if (!(error instanceof MiniMcpError)) throw error;
  return {
    reason: error.reason,
    message: error.message,
    fields: Object.fromEntries(error.issues.map(({ path, message }) => [path.join("."), message])),
    requestId: error.requestId ?? null,
    remedy: remedyOf(error),
  };
}

function remedyOf(error: MiniMcpError): Problem["remedy"] {
  if (isReason(error, "auth.signInRequired", "auth.sessionEnded", "auth.tokenExpired", "auth.tokenInvalid")) {
    return "signIn";
  }
  if (isReason(error, "client.network", "client.timeout", "server.unavailable", "auth.busy")) return "wait";
  return "change";
}
