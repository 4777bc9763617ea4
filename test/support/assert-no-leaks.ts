import { setTimeout as delay } from "node:timers/promises";

import { afterAll } from "vitest";

/**
 * What keeps a process alive and therefore has an owner that must end it: children, listeners, connections, timers.
 * A connection that fetch keeps for its next request does not, and is not counted.
 */
const owned = new Set([
  "FSEventWrap",
  "PipeWrap",
  "ProcessWrap",
  "TCPServerWrap",
  "TCPSocketWrap",
  "Timeout",
  "UDPWrap",
]);

/** Closing is a message to the other side too; it takes a moment. */
const releaseTimeoutMs = 3_000;

const before = countResources();

// Loaded ahead of each test file, so this runs behind all of the file's own hooks.
afterAll(async () => {
  const deadline = performance.now() + releaseTimeoutMs;
  let left = listLeft();
  while (left.length > 0 && performance.now() < deadline) {
    await delay(20);
    left = listLeft();
  }
  if (left.length > 0) {
    throw new Error(`This file left open: ${left.join(", ")}. Each needs an owner that disposes of it.`);
  }
}, releaseTimeoutMs + 1_000);

function listLeft(): string[] {
  return [...countResources()]
    .map(([name, count]) => ({ name, left: count - (before.get(name) ?? 0) }))
    .filter(({ left }) => left > 0)
    .map(({ name, left }) => `${left} × ${name}`);
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo().filter((resource) => owned.has(resource))) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
