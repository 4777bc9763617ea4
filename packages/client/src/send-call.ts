import type { AppRouter, InputIssue } from "@minimcp/shared";
import type { TRPCClientError } from "@trpc/client";
// The index of @trpc/client brings WebSockets along, a sixth of this client.
import { httpLink } from "@trpc/client/links/httpLink";
import superjson from "superjson";

import { abortedBy } from "./abort.ts";
import { MiniMcpError } from "./errors.ts";
import { isRecord } from "./is-record.ts";
import { Answer, type Fetch, foreignAnswer, readAnswer } from "./read-answer.ts";
import { isServerReason } from "./server-reasons.ts";

/** One call of a procedure. */
export interface Call {
  type: "query" | "mutation";
  path: string;
  input: unknown;
  signal: AbortSignal | undefined;
}

/** @throws MiniMcpError */
export type SendCall = (call: Call, accessToken?: string) => Promise<unknown>;

/**
 * Sends calls as tRPC over HTTP, one request each, so that each has its own status, timeout and abort.
 * @param url where the procedures are
 */
export function createSendCall(options: { url: string; fetch: Fetch; timeoutMs: number }): SendCall {
  const { url, timeoutMs } = options;
  const link = httpLink<AppRouter>({
    url,
    transformer: superjson,
    headers: ({ op }) => authorization(op.context["accessToken"]),
    fetch: (address, init) =>
      readAnswer(options.fetch, String(address), { ...init, signal: init?.signal ?? null }),
  })({});

  function exchange(call: Call, accessToken: string | undefined, signal: AbortSignal): Promise<unknown> {
    const { type, path, input } = call;
    return new Promise((resolve, reject) => {
      link({
        op: { id: 1, type, path, input, context: { accessToken }, signal },
        next: () => {
          throw new Error("this link is the last");
        },
      }).subscribe({
        next: ({ result }) => resolve("data" in result ? result.data : undefined),
        error: (error) => reject(toMiniMcpError(error, { url, path })),
      });
    });
  }

  return async (call, accessToken) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = call.signal === undefined ? timeout : AbortSignal.any([call.signal, timeout]);
    try {
      const output = await exchange(call, accessToken, signal);
      if (output === undefined) throw foreignAnswer(url, { status: 200, retryAfterSeconds: undefined });
      return output;
    } catch (error) {
      if (call.signal?.aborted) throw abortedBy(call.signal);
      if (!timeout.aborted) throw error;
      throw new MiniMcpError(
        "client.timeout",
        `The server did not answer ${call.path} within ${timeoutMs} ms.` +
          (call.type === "mutation"
            ? " Whether it was carried out is unknown: look before you repeat it."
            : ""),
        { cause: error },
      );
    }
  };
}

export function authorization(accessToken: unknown): Record<string, string> {
  return typeof accessToken === "string" ? { authorization: `Bearer ${accessToken}` } : {};
}

function toMiniMcpError(
  error: TRPCClientError<AppRouter>,
  call: { url: string; path: string },
): MiniMcpError {
  if (error.cause instanceof MiniMcpError) return error.cause;
  const answer = error.meta?.["response"];
  if (!(answer instanceof Answer)) {
    const message = `The input of ${call.path} cannot be sent: ${error.message}`;
    return new MiniMcpError("input.invalid", message, { cause: error });
  }
  return readWireError({ message: error.message, data: error.data, cause: error }, answer, call);
}

/** The error for what a server says in place of an output. */
export function readWireError(
  { message, data, cause }: { message: string; data: unknown; cause?: unknown },
  answer: Pick<Answer, "status" | "retryAfterSeconds">,
  call: { url: string; path: string },
): MiniMcpError {
  if (!isWireErrorData(data)) return foreignAnswer(call.url, answer, cause);
  const details = {
    httpStatus: data.httpStatus,
    issues: data.issues,
    requestId: data.requestId ?? undefined,
    retryAfterSeconds: data.retryAfterSeconds ?? answer.retryAfterSeconds,
  };
  if (data.reason === "input.notFound") {
    return new MiniMcpError(
      "client.incompatibleServer",
      `The server has no procedure ${call.path}: it is older than this client. ` +
        "Update the server, or use the @minimcp/client of its version.",
      details,
    );
  }
  if (!isServerReason(data.reason)) {
    return new MiniMcpError(
      "client.incompatibleServer",
      `The server is newer than this client and says: ${message} (${data.reason}). Update @minimcp/client.`,
      details,
    );
  }
  return new MiniMcpError(data.reason, message, details);
}

/** The server's error data as it comes over the wire. */
interface WireErrorData {
  reason: string;
  httpStatus: number;
  issues: readonly InputIssue[];
  requestId: string | null;
  retryAfterSeconds: number | null;
}

function isWireErrorData(data: unknown): data is WireErrorData {
  return (
    isRecord(data) &&
    typeof data["reason"] === "string" &&
    typeof data["httpStatus"] === "number" &&
    Array.isArray(data["issues"])
  );
}
