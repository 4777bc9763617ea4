import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { addIdleNode } from "../security/support/idle-node.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { addType, findBundle, processesOf, send } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let admin: Account;

beforeAll(async () => {
  product = await startProduct({
    findBundle,
    environment: { INSTANCES_PER_USER: "3", INSTANCES_PER_NODE: "4" },
  });
  admin = await createAdmin(product);
  await addType(product, "plain");
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function create({ token }: Account, more: object = {}, to = product): Promise<CallAnswer> {
  return mutate(to.api.url, "mcp.create", { type: "everything", expirationMinutes: 5, ...more }, { token });
}

async function revokeAll({ token }: Account): Promise<void> {
  const { data } = await query(product.api.url, "mcp.list", { live: true }, { token });
  for (const { id } of data.items) await mutate(product.api.url, "mcp.revoke", { id }, { token });
}

test("a user has so many instances at a time, is told what to do beyond, and gets the next when one is over", async () => {
  const user = await createUser(product, admin);
  const idempotencyKey = randomUUID();
  const first = await create(user, { type: "plain", idempotencyKey });
  for (let made = 1; made < 3; made += 1) expect((await create(user, { type: "plain" })).status).toBe(200);
  const refused = await create(user, { type: "plain" });
  expect([refused.status, refused.error?.reason]).toEqual([429, "mcp.instanceLimit"]);
  expect(refused.error?.message).toContain("Revoke one");
  // A retry asks for nothing more.
  expect((await create(user, { type: "plain", idempotencyKey })).data.instance.id).toBe(
    first.data.instance.id,
  );
  await mutate(product.api.url, "mcp.revoke", { id: first.data.instance.id }, { token: user.token });
  expect((await create(user, { type: "plain" })).status).toBe(200);
  await revokeAll(user);
});

test("a node has so many places for everybody; beyond that nothing is stored, and one that becomes free is given", async () => {
  const users = await Promise.all([createUser(product, admin), createUser(product, admin)]);
  const [one, other] = users;
  for (const user of [one, one, other, other])
    expect((await create(user, { type: "plain" })).status).toBe(200);
  const refused = await create(other, { type: "plain" });
  expect([refused.status, refused.error?.reason]).toEqual([503, "mcp.noCapacity"]);
  expect(refused.error?.message).toContain("INSTANCES_PER_NODE");
  await revokeAll(one);
  expect((await create(other, { type: "plain" })).status).toBe(200);
  await revokeAll(other);
});

test("a node takes no more than it has room for; the others wait until there is room", async () => {
  const users = await Promise.all([createUser(product, admin), createUser(product, admin)]);
  await addIdleNode(product.database.ownerUrl);
  const made: { id: string; token: string }[] = [];
  for (const user of [0, 0, 0, 1, 1, 1]) {
    const account = users[user] as Account;
    const { data } = await create(account, { type: "plain" });
    made.push({ id: data.instance.id, token: account.token });
  }
  const held = async () => {
    const rows = await run<{ id: string }>(
      product.database.ownerUrl,
      "select id from instances where id = any($1) and node_id is not null and ended_at is null",
      [made.map(({ id }) => id)],
    );
    return rows.map(({ id }) => id);
  };
  await expect.poll(held, { timeout: 10_000 }).toHaveLength(4);
  const before = await held();
  const gone = made.find(({ id }) => id === before[0]);
  await mutate(product.api.url, "mcp.revoke", { id: gone?.id }, { token: gone?.token });
  const newcomers = async () => (await held()).filter((id) => !before.includes(id));
  await expect.poll(newcomers, { timeout: 10_000 }).toHaveLength(1);
  expect(await held()).toHaveLength(4);
  for (const user of users) await revokeAll(user);
});

test.runIf(process.getuid?.() === 0)(
  "a worker of root has no more places than users to run instances under, and the one that it names is used",
  async () => {
    await using small = await startProduct({ findBundle, environment: { INSTANCE_UIDS: "22300-22300" } });
    await addType(small, "plain");
    const owner = await createAdmin(small);
    const first = await create(owner, { type: "plain" }, small);
    expect(first.status, first.text).toBe(200);
    expect((await create(owner, { type: "plain" }, small)).error?.reason).toBe("mcp.noCapacity");
    const { endpoint, accessToken, instance } = first.data;
    expect((await send({ endpoint, token: accessToken }, "ping")).status).toBe(200);
    const [pid] = await processesOf(instance.id);
    expect((await stat(`/proc/${pid}`)).uid).toBe(22_300);
  },
);

describe("two hundred creations at once", () => {
  test("give each user and the node exactly what they may have", async () => {
    await using empty = await startProduct({ worker: false, environment: { INSTANCES_PER_USER: "10" } });
    await addIdleNode(empty.database.ownerUrl);
    await run(empty.database.ownerUrl, "update nodes set capacity = 25");
    const owner = await createAdmin(empty);
    const users = await Promise.all(Array.from({ length: 4 }, () => createUser(empty, owner)));
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => create(users[index % 4] as Account, {}, empty)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(25);
    for (const { status, error } of answers.filter((answer) => answer.status !== 200)) {
      expect(["mcp.instanceLimit", "mcp.noCapacity", "server.unavailable"], `${status}`).toContain(
        error?.reason,
      );
    }
    const stored = await run<{ count: number }>(
      empty.database.ownerUrl,
      "select count(*)::int as count from instances group by user_id order by 1",
    );
    expect(stored.reduce((sum, { count }) => sum + count, 0)).toBe(25);
    for (const { count } of stored) expect(count).toBeLessThanOrEqual(10);
  });
});
