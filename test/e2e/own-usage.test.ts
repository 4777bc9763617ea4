import { afterAll, beforeAll, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { createInstance, echo } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let ada: Account;
let bob: Account;

beforeAll(async () => {
  product = await startProduct();
  const admin = await createAdmin(product);
  ada = await createUser(product, admin);
  bob = await createUser(product, admin);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function read(path: string, input: object | undefined, { token }: Account) {
  return query(product.api.url, path, input, { token });
}

test("a user's own instances and calls are told by the day, and days without any are there too", async () => {
  const before = await createInstance(product, ada);
  const now = await createInstance(product, ada);
  for (const instance of [now, now, now]) await echo(instance);
  await run(
    product.database.ownerUrl,
    "update instances set created_at = created_at - interval '3 days' where id = $1",
    [before.id],
  );
  await createInstance(product, bob);

  const numbers = async () => {
    const { data } = await read("mcp.usage", { days: 5 }, ada);
    return data.items.map(({ instances, calls }: { instances: number; calls: number }) => [instances, calls]);
  };
  await expect.poll(numbers, { timeout: 10_000 }).toEqual([
    [0, 0],
    [1, 0],
    [0, 0],
    [0, 0],
    [1, 3],
  ]);
  const { items } = (await read("mcp.usage", undefined, ada)).data;
  expect(items).toHaveLength(14);
  expect(items.at(-1).day).toBe(new Date().toISOString().slice(0, 10));
  for (const days of [0, 91, 1.5]) expect((await read("mcp.usage", { days }, ada)).status).toBe(400);
});

test("what is over is listed apart from what is not, page by page", async () => {
  const { token } = bob;
  const ids: string[] = [];
  for (let number = 0; number < 3; number++) {
    const { id } = await createInstance(product, bob);
    await mutate(product.api.url, "mcp.revoke", { id }, { token });
    ids.unshift(id);
  }
  const live = await createInstance(product, bob);
  const first = (await read("mcp.list", { over: true, limit: 2 }, bob)).data;
  expect(first.items.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2));
  const rest = (await read("mcp.list", { over: true, limit: 2, cursor: first.nextCursor }, bob)).data;
  expect(rest.items.map(({ id }: { id: string }) => id)).toEqual(ids.slice(2));
  expect(rest.nextCursor).toBeNull();
  const { items } = (await read("mcp.list", { live: true }, bob)).data;
  expect(items[0].id).toBe(live.id);
  expect((await read("mcp.list", { live: true, over: true }, bob)).data.items).toEqual([]);
});
