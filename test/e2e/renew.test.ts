import { randomUUID } from "node:crypto";

import { claimInstances, closeInstance, type NodeIdentity, registerNode } from "@minimcp/core";
import { openDatabase } from "@minimcp/db";
import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { addIdleNode } from "../security/support/idle-node.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import {
  addType,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let user: Account;

beforeAll(async () => {
  product = await startProduct({
    findBundle,
    environment: { RENEWALS_PER_INSTANCE: "2", RENEWED_LIFETIME_MINUTES: "90" },
  });
  user = await createUser(product, await createAdmin(product));
  await addType(product, "plain");
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function renew({ id }: { id: string }, minutes: number): Promise<CallAnswer> {
  return mutate(product.api.url, "mcp.renew", { id, minutes }, { token: user.token });
}

// oxlint-disable-next-line typescript/no-explicit-any -- the view of an instance, of which each test reads a part
async function view({ id }: { id: string }): Promise<any> {
  return (await query(product.api.url, "mcp.get", { id }, { token: user.token })).data;
}

async function eventsOf({ id }: { id: string }): Promise<string[]> {
  const rows = await run<{ action: string }>(
    product.database.ownerUrl,
    `select action from audit.events
     where resource_id = $1 and action like 'mcp.%' and result = 'success' order by "timestamp"`,
    [id],
  );
  return rows.map(({ action }) => action);
}

test("a renewed instance outlives its old deadline at the same address, with the same token and process", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  expect((await send(instance, "ping")).status).toBe(200);
  const processes = await processesOf(instance.id);
  const deadline = performance.now() + 1_500;
  await moveDeadline(product, instance.id, 1_500);
  const renewed = await renew(instance, 10);
  expect(renewed.status, renewed.text).toBe(200);
  expect(renewed.data).toMatchObject({ id: instance.id, endpoint: instance.endpoint, renewalsLeft: 1 });
  expect(Math.abs(renewed.data.expiresAt.getTime() - Date.now() - 600_000)).toBeLessThan(10_000);
  while (performance.now() < deadline + 500) expect((await send(instance, "ping")).status).toBe(200);
  expect(await processesOf(instance.id)).toEqual(processes);
  expect(await eventsOf(instance)).toEqual(["mcp.create", "mcp.renew"]);
});

test("a view says how often its instance can still be renewed, and until when at most", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const { createdAt, latestExpiresAt, renewalsLeft } = await view(instance);
  expect(renewalsLeft).toBe(2);
  expect(latestExpiresAt.getTime() - createdAt.getTime()).toBe(90 * 60_000);
  await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: user.token });
  expect(await view(instance)).toMatchObject({ renewalsLeft: 0 });
});

test("renewals are counted, and the one beyond the limit is refused with what to do", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  for (const minutes of [10, 20]) expect((await renew(instance, minutes)).status).toBe(200);
  const { expiresAt } = await view(instance);
  const refused = await renew(instance, 30);
  expect([refused.status, refused.error?.reason]).toEqual([429, "mcp.renewalsUsedUp"]);
  expect(refused.error?.message).toContain("Create a new one");
  expect(await view(instance)).toMatchObject({ expiresAt, renewalsLeft: 0 });
});

test("no renewal leads beyond the longest lifetime", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const refused = await renew(instance, 91);
  expect([refused.status, refused.error?.reason]).toEqual([429, "mcp.lifetimeLimit"]);
  expect(refused.error?.message).toContain((await view(instance)).latestExpiresAt.toISOString());
  expect((await renew(instance, 89)).status).toBe(200);
});

test("a renewal that would shorten a life is refused", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const refused = await renew(instance, 4);
  expect([refused.status, refused.error?.reason]).toEqual([400, "mcp.renewalTooShort"]);
});

test("what is over is not renewed, however it ended", async () => {
  const [revoked, expired] = await Promise.all([
    createInstance(product, user, { type: "plain" }),
    createInstance(product, user, { type: "plain" }),
  ]);
  await mutate(product.api.url, "mcp.revoke", { id: revoked.id }, { token: user.token });
  await moveDeadline(product, expired.id, 0);
  for (const instance of [revoked, expired]) {
    const refused = await renew(instance, 10);
    expect([refused.status, refused.error?.reason]).toEqual([409, "mcp.over"]);
  }
  await eventually(10_000, async () => (await view(expired)).state === "ended");
  expect((await send(revoked, "ping")).status).toBe(401);
});

test("what is due is not renewed, though nobody has ended it yet", async () => {
  await using other = await startProduct({ worker: false });
  await addType(other, "plain");
  await addIdleNode(other.database.ownerUrl);
  const owner = await createUser(other, await createAdmin(other));
  const instance = await createInstance(other, owner, { type: "plain" });
  await moveDeadline(other, instance.id, 0);
  const refused = await mutate(
    other.api.url,
    "mcp.renew",
    { id: instance.id, minutes: 10 },
    { token: owner.token },
  );
  expect([refused.status, refused.error?.reason]).toEqual([409, "mcp.over"]);
});

test("at the deadline itself an instance is either renewed or over, never both", async () => {
  const owner = await createUser(product, await createAdmin(product));
  const racing = await Promise.all(
    Array.from({ length: 8 }, () => createInstance(product, owner, { type: "plain" })),
  );
  await Promise.all(racing.map((instance) => send(instance, "ping")));
  const answers = await Promise.all(
    racing.map(async (instance, index) => {
      await moveDeadline(product, instance.id, index * 12);
      return await mutate(
        product.api.url,
        "mcp.renew",
        { id: instance.id, minutes: 10 },
        { token: owner.token },
      );
    }),
  );
  const ask = async (instance: Instance) =>
    (await query(product.api.url, "mcp.get", { id: instance.id }, { token: owner.token })).data;
  for (const [index, instance] of racing.entries()) {
    const answer = answers[index];
    if (answer?.status === 200) {
      expect((await send(instance, "ping")).status).toBe(200);
      expect((await ask(instance)).endedAt).toBeNull();
      expect(await eventsOf(instance)).toEqual(["mcp.create", "mcp.renew"]);
    } else {
      expect(answer?.error?.reason).toBe("mcp.over");
      await eventually(10_000, async () => (await ask(instance)).endReason === "expired");
      expect((await send(instance, "ping")).status).toBe(401);
    }
  }
});

test("a node whose news of a renewal is late cannot end the instance by its old deadline", async () => {
  await using other = await startProduct({ worker: false });
  await addType(other, "plain");
  const owner = await createUser(other, await createAdmin(other));
  await using db = openDatabase({ url: other.database.workerUrl, applicationName: "late node" });
  const node: NodeIdentity = { nodeId: randomUUID(), epoch: randomUUID() };
  await registerNode(db, node, {
    address: "http://127.0.0.1:1",
    isolation: { level: "none", parts: {} },
    capacity: 100,
  });
  const instance = await createInstance(other, owner, { type: "plain" });
  const [claimed] = await claimInstances(db, node, 1);
  if (claimed === undefined) throw new Error("there was something to claim");
  await mutate(other.api.url, "mcp.renew", { id: instance.id, minutes: 10 }, { token: owner.token });
  expect(await closeInstance(db, node, claimed, { kind: "expired", renewals: claimed.renewals })).toBe(false);
  // By the count alone: after a clock was set back, what is due by the node's own reckoning still ends.
  expect(await closeInstance(db, node, claimed, { kind: "expired", renewals: 1 })).toBe(true);
});
