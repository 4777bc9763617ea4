import { afterAll, beforeAll, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import {
  addType,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { refusalOf, type StreamEvent, subscribe, type Subscription } from "../support/subscribe.ts";

let product: Product;
let admin: Account;
let ada: Account;

beforeAll(async () => {
  product = await startProduct({ findBundle, environment: { STREAMS_PER_USER: "4" } });
  admin = await createAdmin(product);
  ada = await createUser(product, admin);
  await addType(product, "plain");
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function watch({ id }: Pick<Instance, "id">, owner: Account = ada): Promise<Subscription> {
  return subscribe(product.api.url, "mcp.watch", { id }, { token: owner.token });
}

/** Reads on until a view is as expected. */
async function until(
  stream: Subscription,
  matches: (data: StreamEvent["data"]) => boolean,
): Promise<StreamEvent["data"]> {
  for (;;) {
    const { event, data } = await stream.next();
    if (event !== "message") throw new Error(`the stream brought ${event}: ${JSON.stringify(data)}`);
    if (matches(data)) return data;
  }
}

test("an instance is told of at once, at each change of state, count and deadline, and for the last time at its end", async () => {
  const instance = await createInstance(product, ada, { type: "plain", label: "watched" });
  await using stream = await watch(instance);
  expect(stream.status).toBe(200);
  expect(stream.headers.get("content-type")).toBe("text/event-stream");
  expect(stream.headers.get("cache-control")).toBe("no-store, no-transform");
  expect(stream.headers.get("x-accel-buffering")).toBe("no");
  const ready = await until(stream, ({ state }) => state === "ready");
  expect(ready).toEqual(
    (await query(product.api.url, "mcp.get", { id: instance.id }, { token: ada.token })).data,
  );
  for (let call = 0; call < 3; call += 1) await (await send(instance, "ping")).arrayBuffer();
  await until(stream, ({ calls }) => calls === 3);
  await moveDeadline(product, instance.id, 60_000);
  await until(stream, ({ expiresAt }) => expiresAt < ready.expiresAt);
  await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: ada.token });
  expect(await until(stream, ({ state }) => state === "ended")).toMatchObject({ endReason: "revoked" });
  expect(await stream.rest()).toEqual([{ event: "return", id: undefined, data: "" }]);
});

test("an instance that is over is told of once", async () => {
  const instance = await createInstance(product, ada, { type: "plain" });
  await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: ada.token });
  await using stream = await watch(instance);
  expect((await stream.rest()).map(({ event, data }) => [event, data.state])).toEqual([
    ["message", "ended"],
    ["return", undefined],
  ]);
});

test("the list of live instances is told of as a whole, whenever one comes, changes or goes", async () => {
  const bob = await createUser(product, admin);
  await using stream = await subscribe(product.api.url, "mcp.watchAll", undefined, { token: bob.token });
  expect((await stream.next()).data).toEqual([]);
  const first = await createInstance(product, bob, { type: "plain" });
  await until(stream, (list) => list[0]?.state === "ready");
  const second = await createInstance(product, bob, { type: "plain" });
  await until(stream, (list) => list.length === 2 && list[0].id === second.id && list[0].state === "ready");
  await createInstance(product, ada, { type: "plain" });
  await mutate(product.api.url, "mcp.revoke", { id: first.id }, { token: bob.token });
  const left = await until(stream, (list) => list.length === 1);
  expect(left[0].id).toBe(second.id);
});

test("a foreign instance is as unknown as one that never was, before anything is told of it, and that is audited", async () => {
  const bob = await createUser(product, admin);
  const instance = await createInstance(product, ada, { type: "plain" });
  for (const path of ["mcp.watch", "mcp.logs"]) {
    for (const id of [instance.id, "00000000-0000-4000-8000-000000000000"]) {
      const { status, error, data } = await refusalOf(product.api.url, path, { id }, { token: bob.token });
      expect({ status, reason: error?.reason, data }).toEqual({
        status: 404,
        reason: "mcp.notFound",
        data: undefined,
      });
    }
  }
  const [{ count } = { count: 0 }] = await run<{ count: number }>(
    product.database.ownerUrl,
    "select count(*)::int as count from audit.events where result = 'denied' and user_id = $1 and action in ('mcp.watch', 'mcp.logs')",
    [bob.id],
  );
  expect(count).toBe(4);
});

test("a user has so many streams at a time and no more; one that is closed makes room", async () => {
  const bob = await createUser(product, admin);
  const open = () => subscribe(product.api.url, "mcp.watchAll", undefined, { token: bob.token });
  const refused = () =>
    refusalOf(product.api.url, "mcp.watchAll", undefined, { token: bob.token }).then(({ status, error }) => ({
      status,
      reason: error?.reason,
    }));
  const streams = await Promise.all(Array.from({ length: 4 }, open));
  for (const stream of streams) expect((await stream.next()).data).toEqual([]);
  expect(await refused()).toEqual({ status: 429, reason: "stream.limitReached" });
  await using others = await watch(await createInstance(product, ada, { type: "plain" }));
  expect((await others.next()).event).toBe("message");
  await streams[0]?.[Symbol.asyncDispose]();
  await expect.poll(refused).toEqual({ status: 200, reason: undefined });
  for (const stream of streams) await stream[Symbol.asyncDispose]();
});
