import { setTimeout as delay } from "node:timers/promises";

import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// @boundaries-ignore The database of a test is a copy made by the run's one server, which belongs to no room.
import { createTestDatabase, type TestDatabase } from "../../../test/support/database.ts";
import {
  type Database,
  type Listener,
  type ListenerState,
  openDatabase,
  openListener,
} from "../src/index.ts";
import { openSocketRelay } from "./support/socket-relay.ts";
import { until } from "./support/until.ts";

let testDatabase: TestDatabase;
let database: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.apiUrl, applicationName: "listen.test" });
});

afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await testDatabase.drop();
});

async function notify(channel: string, payload: string): Promise<void> {
  await database.as({ userId: null, scope: "system" }, (tx) =>
    tx.execute(sql`select pg_notify(${channel}, ${payload})`),
  );
}

function listen(
  url: string,
  options: { pingTimeoutMs?: number } = {},
): { listener: Listener; states: ListenerState[]; heard: string[] } {
  const states: ListenerState[] = [];
  const heard: string[] = [];
  const listener = openListener({
    url,
    applicationName: "listener",
    channels: ["first", 'Odd "name"'],
    onNotification: (channel, payload) => heard.push(`${channel}: ${payload}`),
    onStateChange: (state) => states.push(state),
    pingIntervalMs: 50,
    ...options,
  });
  return { listener, states, heard };
}

describe("a listener", () => {
  test("delivers the notifications of its channels, in order", async () => {
    const { listener, heard } = listen(testDatabase.apiUrl);
    await using _ = listener;
    await listener.whenListening();
    await notify("first", "1");
    await notify("unrelated", "2");
    await notify('Odd "name"', "3");
    await until("both have arrived", () => heard.length === 2);
    expect(heard).toEqual(["first: 1", 'Odd "name": 3']);
  });

  test("stays fresh while it is answered", async () => {
    const { listener } = listen(testDatabase.apiUrl);
    await using _ = listener;
    expect(listener.isFresh(1_000)).toBe(false);
    await listener.whenListening();
    const listeningAt = performance.now();
    expect(listener.isFresh(1_000)).toBe(true);
    await until(
      "a later ping was answered",
      () => listener.isFresh(performance.now() - listeningAt - 1) && performance.now() - listeningAt > 100,
    );
  });

  test("is no longer fresh once the network swallows its pings, and comes back with a gap announced", async () => {
    await using relay = await openSocketRelay(testDatabase.apiUrl);
    const { listener, states, heard } = listen(relay.url, { pingTimeoutMs: 300 });
    await using _ = listener;
    await listener.whenListening();
    expect(states).toEqual([{ name: "connecting" }, { name: "listening", afterGap: false }]);

    relay.freeze(true);
    await until("it is stale", () => !listener.isFresh(200));
    await notify("first", "lost");
    await until("it has given the connection up", () => states.some(({ name }) => name === "disconnected"));
    expect(listener.isFresh(Number.POSITIVE_INFINITY)).toBe(false);

    relay.freeze(false);
    await until("it listens again", () => states.at(-1)?.name === "listening");
    expect(states.at(-1)).toEqual({ name: "listening", afterGap: true });
    await notify("first", "after");
    await until("it hears again", () => heard.length > 0);
    expect(heard).toEqual(["first: after"]);
  });

  test("reconnects at once after its connection was cut", async () => {
    await using relay = await openSocketRelay(testDatabase.apiUrl);
    const { listener, states } = listen(relay.url);
    await using _ = listener;
    await listener.whenListening();
    relay.cut();
    const cutAt = performance.now();
    await until("it listens again", () => states.at(-1)?.name === "listening" && states.length > 2);
    expect(performance.now() - cutAt).toBeLessThan(1_000);
  });

  test("backs off while nobody answers, and whenListening can be given up", async () => {
    const { listener, states } = listen(testDatabase.apiUrl.replace("5432", "5433"));
    await using _ = listener;
    await expect(listener.whenListening(AbortSignal.timeout(400))).rejects.toThrow("aborted due to timeout");
    const pauses = states.flatMap((state) => (state.name === "disconnected" ? [state.retryInMs] : []));
    expect(pauses.slice(0, 3)).toEqual([100, 200, 400]);
  });

  test("hangs up when disposed while the network swallows everything", async () => {
    await using relay = await openSocketRelay(testDatabase.apiUrl);
    const { listener } = listen(relay.url);
    await listener.whenListening();
    relay.freeze(true);
    const disposedAt = performance.now();
    await listener[Symbol.asyncDispose]();
    expect(performance.now() - disposedAt).toBeLessThan(4_000);
  });

  test("ends its connection and its timers when disposed", async () => {
    const { listener, states } = listen(testDatabase.apiUrl);
    await listener.whenListening();
    await listener[Symbol.asyncDispose]();
    expect(states.at(-1)).toEqual({ name: "closed" });
    expect(listener.isFresh(Number.POSITIVE_INFINITY)).toBe(false);
    const { length } = states;
    await delay(120);
    expect(states).toHaveLength(length);
  });
});
