import type { ServerResponse } from "node:http";

import type { Dispatcher, Pool } from "undici";

import { problem, type ProblemReason, Refused, retryAfter } from "./answer.ts";
import { headerValues, textOf } from "../raw-headers.ts";
import { forwardResponseHeaders } from "./headers.ts";
import type { IngressLimits } from "./limits.ts";
import type { CallRecord, RelayedMethod } from "./options.ts";
import { LeaseEnded } from "./upstreams.ts";

interface RelayRequest {
  method: RelayedMethod;
  /** Flat, already filtered. */
  headers: string[];
  body: Buffer | null;
}

/** Each costs the worker as much as an answer, and none ends a call. */
const maxInformational = 16;

type Relayed = Pick<CallRecord, "status" | "responseBytes" | "outcome">;

/**
 * Sends one request to a child and its answer to the client, byte by byte as it comes. The slower side sets the
 * pace: while the client does not read, the child's socket is not read either.
 *
 * Undici's `dispatch` instead of `request` or node:http: a quarter less processor time a call, and no stream object
 * in between.
 *
 * @param extraHeaders flat, added to the child's headers
 * @returns once the client has everything or the connection is cut; `failed` is cut by us or the child, `aborted`
 *   by the client
 * @throws Refused while nothing is sent yet: then the caller answers
 */
export function relay(
  pool: Pool,
  request: RelayRequest,
  response: ServerResponse,
  limits: IngressLimits,
  extraHeaders: readonly string[],
): Promise<Relayed> {
  return new Promise((resolve, reject) => {
    let upstream: Dispatcher.DispatchController | null = null;
    let failure: Error | null = null;
    let isStream = false;
    let responseBytes = 0;
    let informational = 0;

    const startTimer = () => setTimeout(() => fail("responseTimeout"), limits.responseTimeoutMs);
    let timer = startTimer();

    /** Ends both sides. Only the first reason counts. */
    function fail(reason: ProblemReason, cause?: Error): void {
      if (failure) return;
      const headers = reason === "ended" ? retryAfter(1) : [];
      failure = new Refused(problem(reason, { headers }), { cause });
      upstream?.abort(failure);
      if (response.headersSent) {
        // Never a clean end: half a message must not look like a whole one.
        response.destroy();
        return;
      }
      clearTimeout(timer);
      response.off("close", onClose);
      reject(failure);
    }

    function onClose(): void {
      clearTimeout(timer);
      const outcome = failure ? "failed" : response.writableFinished ? "ok" : "aborted";
      if (outcome === "aborted") {
        failure = new Error("the client closed its response stream");
        upstream?.abort(failure);
      }
      resolve({ status: response.headersSent ? response.statusCode : 499, responseBytes, outcome });
    }
    response.once("close", onClose);

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(controller) {
        upstream = controller;
        if (failure) controller.abort(failure);
      },
      onResponseStart(controller, status) {
        // Informational answers (RFC 9110 section 15.2) concern this hop.
        if (status < 200) {
          informational += 1;
          if (informational > maxInformational) fail("responseInvalid");
          return;
        }
        if (isForbidden(status)) return fail("responseInvalid");
        const raw = textOf(controller.rawHeaders);
        isStream = /^\s*text\/event-stream\b/i.test(headerValues(raw, "content-type")[0] ?? "");
        const announcedBytes = Number(headerValues(raw, "content-length")[0] ?? 0);
        if (!isStream && announcedBytes > limits.responseBodyBytes) return fail("responseTooLarge");

        const headers = [...forwardResponseHeaders(raw), ...extraHeaders];
        if (isStream) headers.push("X-Accel-Buffering", "no");
        response.writeHead(status, headers);
        if (isStream) {
          clearTimeout(timer);
          response.flushHeaders();
        }
      },
      onResponseData(controller, chunk) {
        responseBytes += chunk.length;
        if (!isStream && responseBytes > limits.responseBodyBytes) return fail("responseTooLarge");
        if (response.write(chunk)) return;
        controller.pause();
        response.once("drain", () => controller.resume());
      },
      onResponseEnd() {
        response.end();
        // A stream's clock was stopped; a client that never reads the rest must not hold the connection for ever.
        if (isStream) timer = startTimer();
      },
      onResponseError(_, error) {
        if (error instanceof LeaseEnded) fail("ended");
        else fail(upstream ? "connectionLost" : "unreachable", error);
      },
    };
    pool.dispatch(
      { method: request.method, path: "/mcp", headers: request.headers, body: request.body },
      handler,
    );
  });
}

/**
 * A redirect would make the client carry data out of a sandbox that has no network, and a child's 401 or 407 would
 * make it throw away a good MiniMCP token, or sign in where the child says.
 */
function isForbidden(status: number): boolean {
  return (status >= 300 && status < 400) || status === 401 || status === 407;
}
