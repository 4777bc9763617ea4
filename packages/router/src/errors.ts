import {
  AppError,
  DatabaseUnavailable,
  type ErrorKind,
  type ErrorReason,
  type InputIssue,
} from "@minimcp/core";
import { TRPCError } from "@trpc/server";
import { ZodError } from "zod";

export const codes = {
  invalid: "BAD_REQUEST",
  unauthenticated: "UNAUTHORIZED",
  forbidden: "FORBIDDEN",
  notFound: "NOT_FOUND",
  conflict: "CONFLICT",
  precondition: "PRECONDITION_FAILED",
  limit: "TOO_MANY_REQUESTS",
  unavailable: "SERVICE_UNAVAILABLE",
  internal: "INTERNAL_SERVER_ERROR",
} as const satisfies Record<ErrorKind, TRPCError["code"]>;

/** What a caller is told of an error: decided once, from its cause. */
export interface ErrorAnswer {
  kind: ErrorKind;
  reason: ErrorReason;
  message: string;
  issues: readonly InputIssue[];
  retryAfterSeconds: number | undefined;
}

/** How long a caller should wait when the database is away; it mostly is for the length of a restart. */
const databaseRetrySeconds = 2;

/** Reads an error for its caller. Whatever is not an answer of ours stays inside: its message could tell anything. */
export function answerFor(error: TRPCError): ErrorAnswer {
  const cause = error.cause;
  const nothingMore = { issues: [], retryAfterSeconds: undefined };
  if (cause instanceof AppError) {
    const { kind, reason, message, issues, retryAfterSeconds } = cause;
    return { kind, reason, message, issues, retryAfterSeconds };
  }
  // Under any other code it is stored data that did not parse: a defect, which its caller can do nothing about.
  if (cause instanceof ZodError && error.code === "BAD_REQUEST") {
    const issues = flattenIssues(cause);
    const named = issues.map((issue) => `${issue.path.join(".") || "input"} ${issue.message}`).join("; ");
    return {
      ...nothingMore,
      kind: "invalid",
      reason: "input.invalid",
      message: `The input is not valid: ${named}`,
      issues,
    };
  }
  if (cause instanceof DatabaseUnavailable) {
    return {
      ...nothingMore,
      kind: "unavailable",
      reason: "server.unavailable",
      message: "The server cannot reach its database at the moment. Try again shortly.",
      retryAfterSeconds: databaseRetrySeconds,
    };
  }
  switch (error.code) {
    case "NOT_FOUND":
      return {
        ...nothingMore,
        kind: "notFound",
        reason: "input.notFound",
        message: "There is no such procedure.",
      };
    case "PARSE_ERROR":
    case "BAD_REQUEST":
      return {
        ...nothingMore,
        kind: "invalid",
        reason: "input.invalid",
        message: "The request is not well-formed.",
      };
    case "METHOD_NOT_SUPPORTED":
      return {
        ...nothingMore,
        kind: "invalid",
        reason: "input.invalid",
        message: "Wrong HTTP method: queries are sent with GET, mutations with POST.",
      };
    case "PAYLOAD_TOO_LARGE":
      return {
        ...nothingMore,
        kind: "invalid",
        reason: "input.tooLarge",
        message: "The request is too large.",
      };
    case "UNSUPPORTED_MEDIA_TYPE":
      return {
        ...nothingMore,
        kind: "invalid",
        reason: "input.unsupportedMediaType",
        message: "Send JSON, with the header content-type: application/json.",
      };
    default:
      return { ...nothingMore, kind: "internal", reason: "server.internal", message: "internal error" };
  }
}

/** The error to throw on: the same cause, under the code that its kind has on the wire. */
export function toWireError(error: TRPCError): TRPCError {
  const answer = answerFor(error);
  const code =
    answer.kind === "invalid" && error.code !== "INTERNAL_SERVER_ERROR" ? error.code : codes[answer.kind];
  return code === error.code ? error : new TRPCError({ code, message: answer.message, cause: error.cause });
}

const maxIssues = 20;

/** One issue a field, the first ones. An unknown field is named, so that a typing error shows. */
function flattenIssues(error: ZodError): InputIssue[] {
  const issues = error.issues.flatMap((issue): InputIssue[] => {
    const path = issue.path.map((part) => (typeof part === "number" ? part : String(part)));
    if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
    return issue.keys.map((key) => ({ path: [...path, key], message: "is not a field here" }));
  });
  return issues.slice(0, maxIssues);
}
