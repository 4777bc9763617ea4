import type { IncomingMessage, ServerResponse } from "node:http";

import { type Answer, problem, Refused, retryAfter } from "./answer.ts";
import { headerValues } from "../raw-headers.ts";
import { bearsToken, forwardRequestHeaders } from "./headers.ts";
import type { IngressLimits } from "./limits.ts";
import type { CallRecord, IngressOptions, RelayedMethod } from "./options.ts";
import { readBody } from "./read-body.ts";
import { type Message, readMessage } from "./read-message.ts";
import { relay } from "./relay.ts";
import type { takeTurns } from "./take-turns.ts";
import type { Upstreams } from "./upstreams.ts";
import { missingCredentials, refusal, type Target, tokenInQuery, unavailable } from "./verdict.ts";

interface Call {
  instanceId: string;
  method: RelayedMethod;
  /** The query of the request's target; it is judged and never forwarded. */
  query: string;
  request: IncomingMessage;
  response: ServerResponse;
  /** Flat, for the client's response. */
  extraHeaders: readonly string[];
}

interface Context {
  options: IngressOptions;
  limits: IngressLimits;
  upstreams: Upstreams;
  /** For what holds the event loop. */
  inTurn: ReturnType<typeof takeTurns>;
}

/**
 * One call from a client to its instance: token, body, child, answer, record.
 *
 * @throws Refused where the ingress answers instead of the child
 */
export async function relayCall(context: Context, call: Call): Promise<void> {
  const { options, limits, upstreams } = context;
  const { request, response } = call;
  const startedAt = performance.now();
  const record: CallRecord = {
    instanceId: call.instanceId,
    httpMethod: call.method,
    method: null,
    tool: null,
    status: 499,
    requestBytes: 0,
    responseBytes: 0,
    durationMs: 0,
    outcome: "aborted",
  };
  let isAttributable = false;
  const patience = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) patience.abort(new Error("the client went away"));
  });

  try {
    const verdict = await judge(context, call, patience);
    // Where nobody can say whose the token is, strangers could fill the counters of an instance, or of invented ones.
    isAttributable =
      verdict.kind === "admitted" || (verdict.kind === "refused" && verdict.reason !== "unknown");
    if (verdict.kind === "refused") {
      record.outcome = "denied";
      throw new Refused(refusal(verdict));
    }
    if (verdict.kind === "unavailable") throw new Refused(unavailable(verdict));
    if (verdict.target.instanceId !== call.instanceId)
      throw new Error("the verdict is about another instance");

    const body = call.method === "POST" ? await readPost(request, limits) : discardBody(request);
    if (body) {
      record.requestBytes = body.length;
      Object.assign(record, await readInTurn(context, body, patience.signal));
    }
    const socketPath = await waitForStart(verdict.target, limits, patience);
    patience.signal.throwIfAborted();
    const pool = upstreams.poolFor(verdict.target.ended, socketPath);
    const headers = forwardRequestHeaders(request.rawHeaders);
    const relayed = await relay(
      pool,
      { method: call.method, headers, body },
      response,
      limits,
      call.extraHeaders,
    );
    Object.assign(record, relayed);
  } catch (error) {
    if (!response.destroyed) {
      record.status = error instanceof Refused ? error.answer.status : 500;
      if (record.outcome !== "denied") record.outcome = "failed";
    }
    throw error;
  } finally {
    record.durationMs = performance.now() - startedAt;
    if (isAttributable) options.onCall?.(record);
  }
}

/** RFC 6750 section 2.1; the scheme's name is case-insensitive (RFC 9110 section 11.1). */
const bearerCredentials = /^Bearer +([\w.~+/-]+=*)$/i;

const verdictMissing = problem("verdictMissing", { headers: retryAfter(1) });
const starting = problem("starting", { headers: retryAfter(2) });
const unreachable = problem("unreachable");
const unknown = refusal({ kind: "refused", reason: "unknown" });

async function judge({ options, limits }: Context, call: Call, patience: AbortController) {
  if (queryBearsToken(call.query)) throw new Refused(tokenInQuery);
  const [credentials, ...more] = headerValues(call.request.rawHeaders, "authorization");
  if (credentials === undefined) throw new Refused(missingCredentials);
  // Two sets of credentials: whichever we took, something in front of us may have judged the other one.
  const token = more.length === 0 ? bearerCredentials.exec(credentials)?.[1] : undefined;
  const tokenDigest = token === undefined ? null : options.digestToken(token);
  if (!tokenDigest) throw new Refused(unknown);
  return await waitAtMost(
    options.authorize({ instanceId: call.instanceId, tokenDigest }, patience.signal),
    limits.authorizeWaitMs,
    patience,
    { late: verdictMissing, failed: verdictMissing },
  );
}

function queryBearsToken(query: string): boolean {
  if (query === "") return false;
  return [...new URLSearchParams(query)].some(
    ([name, value]) => /^(?:access_)?token$/i.test(name) || bearsToken(value),
  );
}

async function readPost(request: IncomingMessage, limits: IngressLimits): Promise<Buffer> {
  const [mediaType = ""] = headerValues(request.rawHeaders, "content-type");
  const [coding = "identity"] = headerValues(request.rawHeaders, "content-encoding");
  if (!/^application\/json *(?:;|$)/i.test(mediaType) || coding.toLowerCase() !== "identity") {
    throw new Refused(problem("mediaType"));
  }
  return await readBody(request, limits.requestBodyBytes);
}

/** A body up to this size is parsed in a few milliseconds, whatever is in it; four megabytes can take half a second. */
const quickBodyBytes = 64 * 1024;

async function readInTurn({ inTurn }: Context, body: Buffer, signal: AbortSignal): Promise<Message> {
  if (body.length <= quickBodyBytes) return readMessage(body);
  return await inTurn(() => {
    signal.throwIfAborted();
    return readMessage(body);
  });
}

/** GET and DELETE have no body in MCP. One that is sent must still be read, or Node would not see the client leave. */
function discardBody(request: IncomingMessage): null {
  request.resume();
  return null;
}

async function waitForStart(
  target: Target,
  limits: IngressLimits,
  patience: AbortController,
): Promise<string> {
  return await waitAtMost(target.socket(patience.signal), limits.startWaitMs, patience, {
    late: starting,
    failed: unreachable,
  });
}

/** Waits for work of the worker; at the limit, or when the client is gone, its signal aborts. */
function waitAtMost<T>(
  work: Promise<T>,
  limitMs: number,
  patience: AbortController,
  answers: { late: Answer; failed: Answer },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const { signal } = patience;
    if (signal.aborted) return reject(signal.reason);
    const timer = setTimeout(() => patience.abort(new Refused(answers.late)), limitMs);
    const onAbort = () => settle(() => reject(signal.reason));
    const settle = (outcome: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      outcome();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(
      (value) => settle(() => resolve(value)),
      (cause: unknown) => settle(() => reject(new Refused(answers.failed, { cause }))),
    );
  });
}
