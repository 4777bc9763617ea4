import type { AppRouter, InputIssue } from "@minimcp/shared";
import { httpLink, TRPCClientError, TRPCUntypedClient } from "@trpc/client";
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
  const trpc = new TRPCUntypedClient<AppRouter>({
    links: [
      httpLink({
        url,
        transformer: superjson,
        headers: ({ op }) => authorization(op.context["accessToken"]),
        fetch: (address, init) =>
          readAnswer(options.fetch, String(address), { ...init, signal: init?.signal ?? null }),
      }),
    ],
  });

  return async ({ type, path, input, signal }, accessToken) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const output = await trpc[type](path, input, {
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
        context: { accessToken },
      });
      if (output === undefined) throw foreignAnswer(url, { status: 200, retryAfterSeconds: undefined });
      return output;
    } catch (error) {
      if (signal?.aborted) throw abortedBy(signal);
      if (timeout.aborted) {
        throw new MiniMcpError(
          "client.timeout",
          `The server did not answer ${path} within ${timeoutMs} ms.` +
            (type === "mutation" ? " Whether it was carried out is unknown: look before you repeat it." : ""),
          { cause: error },
        );
      }
      throw toMiniMcpError(error, { url, path });
    }
  };
}

function authorization(accessToken: unknown): Record<string, string> {
  return typeof accessToken === "string" ? { authorization: `Bearer ${accessToken}` } : {};
}

function toMiniMcpError(error: unknown, call: { url: string; path: string }): unknown {
  if (!(error instanceof TRPCClientError)) return error;
  if (error.cause instanceof MiniMcpError) return error.cause;
  const answer = error.meta?.["response"];
  if (!(answer instanceof Answer)) {
    const message = `The input of ${call.path} cannot be sent: ${error.message}`;
    return new MiniMcpError("input.invalid", message, { cause: error });
  }
  const data: unknown = error.data;
  if (!isWireErrorData(data)) return foreignAnswer(call.url, answer, error);
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
      `The server is newer than this client and says: ${error.message} (${data.reason}). Update @minimcp/client.`,
      details,
    );
  }
  return new MiniMcpError(data.reason, error.message, details);
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
