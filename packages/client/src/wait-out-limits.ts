import { pause } from "./abort.ts";
import { isReason, MiniMcpError } from "./errors.ts";
import { isRecord } from "./is-record.ts";
import type { Call, SendCall } from "./send-call.ts";

/** How often one call is sent again at most. */
const maxRepeats = 4;

/**
 * Repeats a call for as long as the server says when to, it is safe to, and the waits together stay below
 * `maxWaitMs`. A wait that would go beyond it is not begun: the caller learns at once.
 */
export function waitOutLimits(send: SendCall, maxWaitMs: number): SendCall {
  return async (call, accessToken) => {
    let leftMs = maxWaitMs;
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await send(call, accessToken);
      } catch (error) {
        if (!(error instanceof MiniMcpError) || error.retryAfterSeconds === undefined) throw error;
        const waitMs = error.retryAfterSeconds * 1000;
        if (repeats === maxRepeats || waitMs > leftMs || !isSafeToRepeat(call, error)) throw error;
        leftMs -= waitMs;
        await pause(waitMs, call.signal);
      }
    }
  };
}

function isSafeToRepeat(call: Call, error: MiniMcpError): boolean {
  if (error.httpStatus === 429) return true;
  if (error.httpStatus !== 503) return false;
  if (call.type === "query") return true;
  // These two are said before anything has been done.
  if (isReason(error, "auth.busy", "mcp.noWorker")) return true;
  return call.path === "mcp.create" && isRecord(call.input) && call.input["idempotencyKey"] !== undefined;
}
