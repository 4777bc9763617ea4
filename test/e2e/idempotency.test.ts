import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { send } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let ada: Account;
let bob: Account;

beforeAll(async () => {
  product = await startProduct();
  const admin = await createAdmin(product);
  [ada, bob] = await Promise.all([createUser(product, admin), createUser(product, admin)]);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function create(idempotencyKey: string, input: object = {}, { token } = ada): Promise<CallAnswer> {
  return mutate(
    product.api.url,
    "mcp.create",
    { type: "everything", expirationMinutes: 5, idempotencyKey, ...input },
    { token },
  );
}

async function ping(endpoint: string, token: string): Promise<{ status: number; reason: unknown }> {
  const response = await send({ endpoint, token }, "tools/list");
  const body = await response.text();
  return { status: response.status, reason: response.status === 401 ? JSON.parse(body).reason : undefined };
}

test("the same key again gives the same instance with a new token, and the old token dies", async () => {
  const key = randomUUID();
  const first = await create(key, { label: "once" });
  expect(await ping(first.data.endpoint, first.data.accessToken)).toMatchObject({ status: 200 });
  const again = await create(key, { label: "once" });
  expect(again.status, again.text).toBe(200);
  expect(again.data.instance.id).toBe(first.data.instance.id);
  expect(again.data.accessToken).not.toBe(first.data.accessToken);
  expect(await ping(again.data.endpoint, again.data.accessToken)).toMatchObject({ status: 200 });
  await expect
    .poll(() => ping(first.data.endpoint, first.data.accessToken), { timeout: 1_500 })
    .toEqual({
      status: 401,
      reason: "revoked",
    });
  expect((await query(product.api.url, "mcp.list", {}, { token: ada.token })).data.items).toHaveLength(1);
});

test.each([
  ["lifetime", { expirationMinutes: 6 }],
  ["label", { label: "another" }],
])("the same key with another %s is refused, and the instance stays as it is", async (_what, change) => {
  const key = randomUUID();
  const first = await create(key);
  const refused = await create(key, change);
  expect([refused.status, refused.error?.reason]).toEqual([409, "mcp.idempotencyKeyReused"]);
  expect(await ping(first.data.endpoint, first.data.accessToken)).toMatchObject({ status: 200 });
});

test("five at once make one instance, and one of the five tokens is good at the end", async () => {
  const key = randomUUID();
  const answers = await Promise.all(Array.from({ length: 5 }, () => create(key)));
  expect(new Set(answers.map((answer) => answer.data.instance.id)).size).toBe(1);
  await expect
    .poll(
      async () => {
        const pings = await Promise.all(answers.map(({ data }) => ping(data.endpoint, data.accessToken)));
        return pings.filter((answer) => answer.status === 200).length;
      },
      { timeout: 5_000 },
    )
    .toBe(1);
});

test("a key belongs to its user: the same one of somebody else is another instance", async () => {
  const key = randomUUID();
  const [mine, theirs] = [await create(key), await create(key, {}, bob)];
  expect(theirs.status).toBe(200);
  expect(theirs.data.instance.id).not.toBe(mine.data.instance.id);
});

test.each(["short", "x".repeat(101)])("a key of the wrong length is refused: %s", async (key) => {
  expect((await create(key)).status).toBe(400);
});

test("a key whose instance is over gives no token for what is gone", async () => {
  const key = randomUUID();
  const first = await create(key);
  await mutate(product.api.url, "mcp.revoke", { id: first.data.instance.id }, { token: ada.token });
  const again = await create(key);
  expect(again.status).toBe(409);
  expect(again.error).toMatchObject({ reason: "mcp.idempotencyKeyReused" });
  expect(again.error?.message).toContain("is over");
});
