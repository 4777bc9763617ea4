import type { CallCounts } from "@minimcp/core";
import type { CallRecord } from "@minimcp/gateway";

/** Counts calls in memory between two flushes, so that a call costs no write. */
export class CallCounter {
  #counts = new Map<string, CallCounts>();

  add(record: CallRecord): void {
    let counts = this.#counts.get(record.instanceId);
    if (counts === undefined) {
      counts = { calls: 0, denials: 0, failures: 0, requestBytes: 0, responseBytes: 0, toolCalls: {} };
      this.#counts.set(record.instanceId, counts);
    }
    if (record.outcome === "denied") {
      counts.denials += 1;
      return;
    }
    counts.calls += 1;
    if (record.outcome === "failed") counts.failures += 1;
    counts.requestBytes += record.requestBytes;
    counts.responseBytes += record.responseBytes;
    if (record.tool !== null) {
      const name = record.tool.slice(0, 100);
      // An object made from names that a client chooses: a null prototype would not survive JSON, own keys do.
      counts.toolCalls[name] =
        (Object.hasOwn(counts.toolCalls, name) ? (counts.toolCalls[name] ?? 0) : 0) + 1;
    }
  }

  /** What has been counted, to be written; the caller hands it back with `restore` when that fails. */
  take(): ReadonlyMap<string, CallCounts> {
    const taken = this.#counts;
    this.#counts = new Map();
    return taken;
  }

  restore(taken: ReadonlyMap<string, CallCounts>): void {
    for (const [instanceId, counts] of taken) {
      const since = this.#counts.get(instanceId);
      this.#counts.set(instanceId, since === undefined ? counts : sum(counts, since));
    }
  }
}

function sum(a: CallCounts, b: CallCounts): CallCounts {
  const toolCalls = { ...a.toolCalls };
  for (const [name, calls] of Object.entries(b.toolCalls)) toolCalls[name] = (toolCalls[name] ?? 0) + calls;
  return {
    calls: a.calls + b.calls,
    denials: a.denials + b.denials,
    failures: a.failures + b.failures,
    requestBytes: a.requestBytes + b.requestBytes,
    responseBytes: a.responseBytes + b.responseBytes,
    toolCalls,
  };
}
