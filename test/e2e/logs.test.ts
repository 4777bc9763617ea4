import { afterAll, beforeAll, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate } from "../support/call.ts";
import { addType, callTool, createInstance, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { type StreamEvent, subscribe, type Subscription } from "../support/subscribe.ts";

let product: Product;
let ada: Account;

beforeAll(async () => {
  product = await startProduct({ findBundle });
  ada = await createUser(product, await createAdmin(product));
  await addType(product, "plain");
  await addType(product, "broken", { bundle: "fixture-exit" });
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function logs({ id }: Pick<Instance, "id">, more: object = {}): Promise<Subscription> {
  return subscribe(product.api.url, "mcp.logs", { id, ...more }, { token: ada.token });
}

async function say(instance: Instance, lines: string[], more: object = {}): Promise<void> {
  const answer = await callTool(instance, "say", { lines, ...more });
  expect(answer.status).toBe(200);
  await answer.arrayBuffer();
}

async function read(stream: Subscription, count: number): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  while (events.length < count) {
    const event = await stream.next();
    if (event.event !== "message")
      throw new Error(`the stream brought ${event.event}: ${JSON.stringify(event.data)}`);
    events.push(event);
  }
  return events;
}

const textsOf = (events: StreamEvent[]) => events.map(({ data }) => data.text);

test("what a server writes comes in order with stream and time: first what is kept, then as it is written, until it is over", async () => {
  const instance = await createInstance(product, ada, { type: "plain" });
  await say(instance, ["one", "two"]);
  await say(instance, ["three"], { stream: "stdout" });
  await using stream = await logs(instance);
  const kept = await read(stream, 3);
  expect(textsOf(kept)).toEqual(["one", "two", "three"]);
  expect(kept.map(({ data }) => data.stream)).toEqual(["stderr", "stderr", "stdout"]);
  expect(kept[0]?.data).toMatchObject({ id: kept[0]?.id, droppedBytes: 0, at: expect.any(Date) });
  await say(instance, ["four"]);
  expect(textsOf(await read(stream, 1))).toEqual(["four"]);
  await say(instance, ["last words"]);
  await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: ada.token });
  const rest = await stream.rest();
  expect(rest.map(({ event, data }) => data.text ?? event)).toEqual(["last words", "return"]);
  await using afterwards = await logs(instance);
  expect(textsOf(await read(afterwards, 5)).at(-1)).toBe("last words");
});

test("a reader who comes again goes on behind the last line it had, and one who does not follow gets an end", async () => {
  const instance = await createInstance(product, ada, { type: "plain" });
  await say(
    instance,
    Array.from({ length: 20 }, (_, index) => `line ${index}`),
  );
  let last: StreamEvent | undefined;
  {
    await using first = await logs(instance);
    last = (await read(first, 7)).at(-1);
  }
  await say(instance, ["line 20"]);
  await using second = await subscribe(
    product.api.url,
    "mcp.logs",
    { id: instance.id },
    { token: ada.token, headers: { "last-event-id": last?.id ?? "" } },
  );
  expect(textsOf(await read(second, 14))).toEqual(
    Array.from({ length: 14 }, (_, index) => `line ${index + 7}`),
  );
  await using whole = await logs(instance, { follow: false });
  const events = await whole.rest();
  expect(events.map(({ event, data }) => data.text ?? event)).toEqual([
    ...Array.from({ length: 21 }, (_, index) => `line ${index}`),
    "return",
  ]);
  expect(events.slice(0, -1).every(({ data }) => data.droppedBytes === 0)).toBe(true);
});

test("the last words of a server that never came up are there, of every attempt", async () => {
  const instance = await createInstance(product, ada, { type: "broken" });
  await using stream = await logs(instance);
  expect(textsOf(await read(stream, 2))).toEqual(["no such thing as a key", "no such thing as a key"]);
});

test("a flood costs few rows, disturbs nobody, and says how much of it was left out", async () => {
  const instance = await createInstance(product, ada, { type: "plain" });
  const quiet = await createInstance(product, ada, { type: "plain" });
  await using stream = await logs(instance);
  const line = "x".repeat(99);
  const startedAt = performance.now();
  let bytes = 0;
  for (let burst = 0; burst < 20; burst += 1) {
    await say(instance, [line], { times: 20_000 });
    bytes += 20_000 * 100;
  }
  await say(instance, ["the end"]);
  bytes += 8;
  await say(quiet, ["I can be heard"]);
  const events: StreamEvent[] = [];
  while (events.at(-1)?.data.text !== "the end") events.push(...(await read(stream, 1)));
  const seconds = (performance.now() - startedAt) / 1_000;
  expect(events.length).toBeLessThan(200 + (seconds + 2) * 20);
  const ids = events.map(({ id }) => Number(id?.split("-")[1]));
  expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  const accounted = events.reduce((sum, { data }) => sum + data.droppedBytes + data.text.length + 1, 0);
  expect(accounted).toBeGreaterThan(bytes * 0.9);
  await using other = await logs(quiet);
  expect(textsOf(await read(other, 1))).toEqual(["I can be heard"]);
});

test("no more is kept than the cap, however long a server talks", async () => {
  const instance = await createInstance(product, ada, { type: "plain" });
  await say(instance, ["first"]);
  await using stream = await logs(instance);
  await read(stream, 1);
  const [{ fence } = { fence: 0 }] = await run<{ fence: string }>(
    product.database.ownerUrl,
    "select fence from instances where id = $1",
    [instance.id],
  );
  // As if it had talked for an hour.
  await run(
    product.database.ownerUrl,
    `insert into instance_log_lines select $1, $2, $3, n * 100, 100, now(), 'stderr', repeat('y', 99)
     from generate_series(1000, 6000) as n`,
    [instance.id, ada.id, Number(fence) - 1],
  );
  await say(
    instance,
    Array.from({ length: 190 }, (_, index) => `later ${index}`),
  );
  await expect
    .poll(
      async () =>
        (
          await run<{ lines: number }>(
            product.database.ownerUrl,
            "select count(*)::int as lines from instance_log_lines where instance_id = $1",
            [instance.id],
          )
        )[0]?.lines,
      { timeout: 5_000 },
    )
    .toBe(1_000);
});
