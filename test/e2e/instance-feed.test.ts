import { randomUUID } from "node:crypto";

import { defaultSettings, type InstanceFeed, openInstanceFeed } from "@minimcp/core";
import { type Database, openDatabase } from "@minimcp/db";
import { afterAll, beforeAll, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

/*
 * What watching costs: the feed of a process alone on a real database, with every transaction that it begins counted.
 */

let database: TestDatabase;
let db: Database;
let feed: InstanceFeed;
let reads = 0;
const failures: unknown[] = [];
const userId = randomUUID();

beforeAll(async () => {
  database = await createTestDatabase();
  const connection = { url: database.apiUrl, applicationName: "test feed" };
  db = openDatabase({ ...connection, maxConnections: 2 });
  feed = openInstanceFeed({
    db: {
      ...db,
      as: (actor, work) => {
        reads += 1;
        return db.as(actor, work);
      },
    },
    database: connection,
    settings: { ...defaultSettings, gatewayUrl: "http://127.0.0.1:5001" },
    onError: (error) => void failures.push(error),
  });
  await owner("insert into users (id, email, name) values ($1, 'a@example.com', 'A')", [userId]);
  await owner("insert into server_types (id, version, declaration) values ('plain', '1', '{}')");
});

afterAll(async () => {
  await feed[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
  await database.drop();
});

function owner(statement: string, values: unknown[] = []): Promise<unknown> {
  return run(database.ownerUrl, statement, values);
}

async function addInstance(): Promise<string> {
  const id = randomUUID();
  await owner(
    "insert into instances (id, user_id, type_id, expires_at) values ($1, $2, 'plain', now() + interval '1 hour')",
    [id, userId],
  );
  await owner("insert into receipts (instance_id, user_id) values ($1, $2)", [id, userId]);
  return id;
}

/** Someone who looks on, and what they saw last. */
function lookOn<T>(values: AsyncIterable<T>): { last: () => T | undefined; count: () => number } {
  let last: T | undefined;
  let count = 0;
  void (async () => {
    for await (const value of values) {
      last = value;
      count += 1;
    }
  })().catch(() => undefined);
  return { last: () => last, count: () => count };
}

test("a change is read once, however many watch it, and a storm of changes at most four times a second", async () => {
  const id = await addInstance();
  const over = new AbortController();
  reads = 0;
  const watchers = Array.from({ length: 50 }, () => lookOn(feed.followInstance(userId, id, over.signal)));
  const lists = Array.from({ length: 50 }, () => lookOn(feed.followInstances(userId, over.signal)));
  const all = [...watchers, ...lists];
  await expect.poll(() => all.every(({ count }) => count() === 1)).toBe(true);
  // The first of each kind, and one more for those that came while that was under way.
  expect(reads).toBeLessThanOrEqual(4);
  await expect.poll(() => reads).toBeLessThanOrEqual(4);

  reads = 0;
  await owner("update receipts set calls = 1 where instance_id = $1", [id]);
  await expect.poll(() => watchers.every(({ last }) => last()?.calls === 1)).toBe(true);
  await expect.poll(() => lists.every(({ last }) => last()?.[0]?.calls === 1)).toBe(true);
  expect(reads).toBeLessThanOrEqual(4);

  reads = 0;
  const startedAt = performance.now();
  for (let calls = 2; calls <= 200; calls += 1) {
    await owner("update receipts set calls = $2 where instance_id = $1", [id, calls]);
  }
  await expect.poll(() => all.every(({ count }) => count() > 2)).toBe(true);
  await expect.poll(() => watchers.every(({ last }) => last()?.calls === 200)).toBe(true);
  await expect.poll(() => lists.every(({ last }) => last()?.[0]?.calls === 200)).toBe(true);
  const seconds = (performance.now() - startedAt) / 1_000;
  expect(reads).toBeLessThanOrEqual(2 * (seconds * 4 + 3));
  over.abort();
});

test("who watches nothing causes no reads, and who does not read holds nothing back for others", async () => {
  const id = await addInstance();
  const over = new AbortController();
  reads = 0;
  await owner("update instances set label = 'x' where id = $1", [id]);
  // Takes one value, and then no more.
  const stalled = feed.followInstance(userId, id, over.signal);
  expect((await stalled.next()).value).toMatchObject({ label: "x" });
  const eager = lookOn(feed.followInstance(userId, id, over.signal));
  for (const label of ["a", "b", "c"]) {
    await owner("update instances set label = $2 where id = $1", [id, label]);
    await expect.poll(() => eager.last()?.label).toBe(label);
  }
  // It has missed a and b, and nobody has kept them for it.
  expect((await stalled.next()).value).toMatchObject({ label: "c" });
  over.abort();
  await expect(stalled.next()).rejects.toThrow("aborted");
  reads = 0;
  await owner("update instances set label = 'y' where id = $1", [id]);
  const other = lookOn(feed.followInstances(userId, AbortSignal.timeout(2_000)));
  await expect.poll(() => other.last()?.some(({ label }) => label === "y")).toBe(true);
  expect(reads).toBe(1);
});

test("somebody else's instance is nothing to anybody", async () => {
  const id = await addInstance();
  const over = new AbortController();
  const foreign = feed.followInstance(randomUUID(), id, over.signal);
  expect((await foreign.next()).value).toBeNull();
  const log = feed.followLog(randomUUID(), id, over.signal);
  expect((await log.next()).value).toBeNull();
  over.abort();
  await Promise.allSettled([foreign.next(), log.next()]);
  expect(failures).toEqual([]);
});
