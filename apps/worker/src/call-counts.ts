import { type CallCounts, otherHosts } from "@minimcp/core";
import type { CallRecord, Decision } from "@minimcp/gateway";

const maxNameCharacters = 100;
/** Of a hostname. A child can ask for whatever it likes, and its counts lie here until the next flush. */
const maxHostCharacters = 253;
const maxHosts = 200;
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
    if (record.tool !== null) addTool(counts.toolCalls, storable(record.tool, maxNameCharacters), 1);
  }

  /** What the broker made of a call of the instance to an upstream host. */
  addDecision(instanceId: string, { host, allowed, bytesOut, bytesIn }: Decision): void {
    const { hosts } = this.#of(instanceId);
    const name = storable(host, maxHostCharacters) || otherHosts;
    const isRoom = Object.hasOwn(hosts, name) || Object.keys(hosts).length < maxHosts;
    addHost(hosts, isRoom ? name : otherHosts, {
      requests: allowed ? 1 : 0,
      denied: allowed ? 0 : 1,
      bytesOut,
      bytesIn,
    });
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
      hosts: {},
      incomplete: false,
    };
    this.#counts.set(instanceId, counts);
    return counts;
  }
}

/**
 * A name as JSON in PostgreSQL can hold it: without U+0000 and halves of surrogate pairs. A client chooses it,
 * and one that the database refuses would take the counts of all instances with it.
 */
function storable(name: string, maxCharacters: number): string {
  return name.slice(0, maxCharacters).replaceAll(controlCharacters, "\uFFFD").toWellFormed();
}

function addTool(toolCalls: Record<string, number>, name: string, calls: number): void {
  set(toolCalls, name, (get(toolCalls, name) ?? 0) + calls);
}

type HostCounts = CallCounts["hosts"][string];

function addHost(hosts: Record<string, HostCounts>, name: string, added: HostCounts): void {
  const known = get(hosts, name) ?? { requests: 0, denied: 0, bytesOut: 0, bytesIn: 0 };
  set(hosts, name, {
    requests: known.requests + added.requests,
    denied: known.denied + added.denied,
    bytesOut: known.bytesOut + added.bytesOut,
    bytesIn: known.bytesIn + added.bytesIn,
  });
}

function get<T>(record: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Not by assignment: `__proto__` is a name like any other. */
function set<T>(record: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(record, name, { value, configurable: true, enumerable: true, writable: true });
}

function sum(a: CallCounts, b: CallCounts): CallCounts {
  const toolCalls = { ...a.toolCalls };
  for (const [name, calls] of Object.entries(b.toolCalls)) addTool(toolCalls, name, calls);
  const hosts = { ...a.hosts };
  for (const [name, counts] of Object.entries(b.hosts)) addHost(hosts, name, counts);
  return {
    calls: a.calls + b.calls,
    denials: a.denials + b.denials,
    failures: a.failures + b.failures,
    requestBytes: a.requestBytes + b.requestBytes,
    responseBytes: a.responseBytes + b.responseBytes,
    toolCalls,
    hosts,
    incomplete: a.incomplete || b.incomplete,
  };
}
