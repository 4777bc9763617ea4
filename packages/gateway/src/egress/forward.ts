import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";

import { type Dispatcher, errors } from "undici";

import { headerValues, textOf } from "../raw-headers.ts";
import type { Decision } from "./decision.ts";
import { forwardResponseHeaders } from "./headers.ts";
import type { Budget, EgressLimits } from "./limits.ts";
import { createRedactor, redactText } from "./redact.ts";
import { Refusal } from "./refusal.ts";

export interface UpstreamRequest {
  method: string;
  path: string;
  /** Flat, with the credential. */
  headers: string[];
  body: AsyncIterable<Buffer> | Buffer | null;
  /** What must not come back in the answer. */
  secrets: readonly Buffer[];
  /** Whether a 401 is told to the caller, who sends the request once more, instead of to the child. */
  retriesUnauthorized: boolean;
  /** Changes the answer's headers in place. */
  adaptHeaders(headers: string[]): void;
}

interface Bounds {
  limits: EgressLimits;
  budget: Budget;
  /** Whose bytes are counted. */
  decision: Decision;
}

/**
 * Sends one request to its upstream and the answer to the child, piece by piece as it comes. The slower side sets the
 * pace, and when one side leaves, the other is let go.
 *
 * @returns once the child has everything; `unauthorized` when it has nothing yet
 * @throws Refusal what to answer, or why a begun answer was cut; AbortError when the child is gone
 */
export function forward(
  upstream: Dispatcher,
  request: UpstreamRequest,
  response: ServerResponse,
  { limits, budget, decision }: Bounds,
): Promise<"sent" | "unauthorized"> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | null = null;
    let isSettled = false;
    let isUnauthorized = false;
    const redactor = request.secrets.length === 0 ? null : createRedactor(request.secrets);
    let responseBytes = 0;

    let idle = setTimeout(onTimeout, limits.connectTimeoutMs + limits.responseHeadersTimeoutMs);
    const total = setTimeout(onTimeout, limits.totalTimeoutMs);

    function settle(outcome: () => void): void {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(idle);
      clearTimeout(total);
      response.off("close", onClose);
      outcome();
    }
    function fail(error: Error): void {
      settle(() => {
        controller?.abort(error);
        reject(error);
      });
    }
    function onTimeout(): void {
      fail(new Refusal("upstreamTimeout"));
    }
    function onClose(): void {
      if (response.writableFinished) settle(() => resolve("sent"));
      else fail(new DOMException("the child went away", "AbortError"));
    }
    response.once("close", onClose);
    if (response.destroyed) {
      onClose();
      return;
    }

    async function* countBody(body: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
      let requestBytes = 0;
      for await (const chunk of body) {
        idle.refresh();
        requestBytes += chunk.length;
        if (requestBytes > limits.requestBytes) throw new Refusal("requestTooLarge");
        budget.send(chunk.length);
        decision.bytesOut += chunk.length;
        yield chunk;
      }
    }

    function beginAnswer(status: number, raw: string[]): void {
      const announcedBytes = Number(headerValues(raw, "content-length")[0] ?? 0);
      if (announcedBytes > limits.responseBytes && request.method !== "HEAD")
        return fail(new Refusal("responseTooLarge"));
      const headers = forwardResponseHeaders(raw);
      for (let i = 1; i < headers.length; i += 2) headers[i] = redactText(headers[i] ?? "", request.secrets);
      request.adaptHeaders(headers);
      decision.status = status;
      response.sendDate = false;
      try {
        response.writeHead(status, headers);
      } catch (cause) {
        return fail(new Refusal("upstreamInvalid", { cause }));
      }
      // The head of a stream goes out before its first event.
      response.flushHeaders();
    }

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
        if (isSettled) started.abort(new Error("nobody waits for this answer"));
      },
      onResponseStart(started, status) {
        // Informational answers (RFC 9110 section 15.2) concern this hop.
        if (status < 200) return;
        clearTimeout(idle);
        idle = setTimeout(onTimeout, limits.idleTimeoutMs);
        if (status === 401 && request.retriesUnauthorized) isUnauthorized = true;
        else beginAnswer(status, textOf(started.rawHeaders));
      },
      onResponseData(started, chunk) {
        idle.refresh();
        responseBytes += chunk.length;
        decision.bytesIn += chunk.length;
        try {
          budget.receive(chunk.length);
          if (responseBytes > limits.responseBytes) throw new Refusal("responseTooLarge");
        } catch (error) {
          return fail(error as Refusal);
        }
        if (isUnauthorized) return;
        const passed = redactor ? redactor.push(chunk) : chunk;
        if (passed.length === 0 || response.write(passed)) return;
        started.pause();
        response.once("drain", () => {
          idle.refresh();
          started.resume();
        });
      },
      onResponseEnd() {
        if (isUnauthorized) return settle(() => resolve("unauthorized"));
        response.end(redactor?.end());
      },
      onResponseError(_, error) {
        if (error instanceof Refusal) return fail(error);
        fail(new Refusal(reasonOf(error), { cause: plainCause(error, request.secrets) }));
      },
    };
    const { method, path, headers, body } = request;
    try {
      upstream.dispatch(
        {
          method,
          path,
          headers,
          body:
            body === null || Buffer.isBuffer(body)
              ? body
              : Readable.from(countBody(body), { objectMode: false }),
        },
        handler,
      );
    } catch (cause) {
      // Undici refuses what it would not put on the wire.
      fail(new Refusal("malformedRequest", { cause }));
    }
  });
}

/** Undici's errors carry pieces of the answer along, in which an upstream may have repeated the secret. */
function plainCause(error: NodeJS.ErrnoException, secrets: readonly Buffer[]): Error {
  return new Error(redactText(`${error.name} ${error.code ?? ""}: ${error.message}`, secrets));
}

/** Errors of certificates, as OpenSSL and Node name them. */
const certificateCodes = /^(?:CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO)/;

function reasonOf(error: NodeJS.ErrnoException) {
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError)
    return "upstreamInvalid";
  if (error instanceof errors.ConnectTimeoutError) return "upstreamUnreachable";
  if (certificateCodes.test(error.code ?? "")) return "upstreamUntrusted";
  if (error.syscall === "connect" || error.code === "ECONNREFUSED") return "upstreamUnreachable";
  return "upstreamLost";
}
