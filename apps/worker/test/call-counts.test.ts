import type { CallRecord, Decision } from "@minimcp/gateway";
import { expect, test } from "vitest";

import { CallCounter } from "../src/call-counts.ts";

function record(more: Partial<CallRecord> = {}): CallRecord {
  return {
    instanceId: "one",
    httpMethod: "POST",
    method: "tools/call",
    tool: "echo",
    status: 200,
    requestBytes: 10,
    responseBytes: 100,
    durationMs: 1,
    outcome: "ok",
    ...more,
  };
}

test("what could not be written is counted together with what came since", () => {
  const counter = new CallCounter();
  counter.add(record());
  counter.add(record({ instanceId: "two", outcome: "failed" }));
  const taken = counter.take();
  counter.add(record());
  counter.add(record({ outcome: "denied" }));
  counter.restore(taken);
  const counts = counter.take();
  expect(counts.get("one")).toEqual({
    calls: 2,
    denials: 1,
    failures: 0,
    requestBytes: 20,
    responseBytes: 200,
    toolCalls: { echo: 2 },
    hosts: {},
    incomplete: false,
  });
  expect(counts.get("two")).toMatchObject({ calls: 1, failures: 1 });
  expect(counter.take().size).toBe(0);
});

test("what may or may not have been written is never counted twice, and leaves a mark", () => {
  const counter = new CallCounter();
  counter.add(record());
  const taken = counter.take();
  counter.add(record({ instanceId: "two" }));
  counter.lose(taken);
  const counts = counter.take();
  expect(counts.get("one")).toMatchObject({ calls: 0, toolCalls: {}, incomplete: true });
  expect(counts.get("two")).toMatchObject({ calls: 1, incomplete: false });
});

test("names that a client invents are counted as they are, and as JSON in PostgreSQL can hold them", () => {
  const counter = new CallCounter();
  const names = ["__proto__", "constructor", "a\u0000b", "\uD83D", `${"x".repeat(99)}😀`, "x".repeat(256)];
  for (const tool of names) counter.add(record({ tool }));
  counter.add(record({ tool: "__proto__" }));
  const toolCalls = counter.take().get("one")?.toolCalls ?? {};
  expect(Object.entries(toolCalls)).toEqual([
    ["__proto__", 2],
    ["constructor", 1],
    ["a\uFFFDb", 1],
    ["\uFFFD", 1],
    [`${"x".repeat(99)}\uFFFD`, 1],
    ["x".repeat(100), 1],
  ]);
});

function decision(more: Partial<Decision> = {}): Decision {
  return { host: "api.example.com", method: "GET", allowed: true, bytesOut: 10, bytesIn: 100, ...more };
}

test("calls to upstream hosts are counted by host, also those that are written later", () => {
  const counter = new CallCounter();
  counter.addDecision("one", decision());
  counter.addDecision("one", decision({ host: "evil.example", allowed: false, bytesOut: 0, bytesIn: 0 }));
  const taken = counter.take();
  counter.addDecision("one", decision());
  counter.restore(taken);
  expect(counter.take().get("one")?.hosts).toEqual({
    "api.example.com": { requests: 2, denied: 0, bytesOut: 20, bytesIn: 200 },
    "evil.example": { requests: 0, denied: 1, bytesOut: 0, bytesIn: 0 },
  });
});

test("a server that asks for ever new hosts makes no more names than there is room for, and every call counts", () => {
  const counter = new CallCounter();
  counter.addDecision("one", decision({ host: "" }));
  for (let index = 0; index < 10_000; index += 1) {
    counter.addDecision("one", decision({ host: `h${index}.example`, allowed: false }));
  }
  counter.addDecision("one", decision({ host: "__proto__" }));
  const hosts = counter.take().get("one")?.hosts ?? {};
  expect(Object.keys(hosts).length).toBeLessThan(202);
  const denied = Object.values(hosts).reduce((sum, host) => sum + host.denied, 0);
  const requests = Object.values(hosts).reduce((sum, host) => sum + host.requests, 0);
  expect({ denied, requests }).toEqual({ denied: 10_000, requests: 2 });
});
