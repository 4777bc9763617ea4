import type { CallCounts } from "@minimcp/core";
import type { CallRecord } from "@minimcp/gateway";

const maxNameCharacters = 100;
const controlCharacters = /\p{Cc}/gu;

/** Counts calls in memory between two flushes, so that a call costs no write. */
export class CallCounter {
  #counts = new Map<string, CallCounts>();

  add(record: CallRecord): void {
    const counts = this.#of(record.instanceId);
    if (record.outcome === "denied") {
      counts.denials += 1;
      return;
    }
    counts.calls += 1;
    if (record.outcome === "failed") counts.failures += 1;
    counts.requestBytes += record.requestBytes;
    counts.responseBytes += record.responseBytes;
    if (record.tool !== null) addTool(counts.toolCalls, storable(record.tool), 1);
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

  /** In place of `restore` where nobody knows whether they were written: to count twice would be the worse lie. */
  lose(taken: ReadonlyMap<string, CallCounts>): void {
    for (const instanceId of taken.keys()) this.#of(instanceId).incomplete = true;
  }

  #of(instanceId: string): CallCounts {
    const known = this.#counts.get(instanceId);
    if (known !== undefined) return known;
    const counts: CallCounts = {
      calls: 0,
      denials: 0,
      failures: 0,
      requestBytes: 0,
      responseBytes: 0,
      toolCalls: {},
      incomplete: false,
    };
    this.#counts.set(instanceId, counts);
    return counts;
  }
}

/**
 * A tool's name as JSON in PostgreSQL can hold it: without U+0000 and halves of surrogate pairs. A client chooses it,
 * and one that the database refuses would take the counts of all instances with it.
 */
function storable(name: string): string {
  return name.slice(0, maxNameCharacters).replaceAll(controlCharacters, "\uFFFD").toWellFormed();
}

function addTool(toolCalls: Record<string, number>, name: string, calls: number): void {
  // Not by assignment: `__proto__` is a name like any other.
  Object.defineProperty(toolCalls, name, {
    value: (Object.hasOwn(toolCalls, name) ? (toolCalls[name] ?? 0) : 0) + calls,
    configurable: true,
    enumerable: true,
    writable: true,
  });
}

function sum(a: CallCounts, b: CallCounts): CallCounts {
  const toolCalls = { ...a.toolCalls };
  for (const [name, calls] of Object.entries(b.toolCalls)) addTool(toolCalls, name, calls);
  return {
    calls: a.calls + b.calls,
    denials: a.denials + b.denials,
    failures: a.failures + b.failures,
    requestBytes: a.requestBytes + b.requestBytes,
    responseBytes: a.responseBytes + b.responseBytes,
    toolCalls,
    incomplete: a.incomplete || b.incomplete,
  };
}
