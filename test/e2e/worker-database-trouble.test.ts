import { mintToken } from "@minimcp/core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { connected, run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
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

/*
 * The database answers, but not everything: somebody's transaction hangs and holds what a worker wants.
 */

let product: Product;
let user: Account;

beforeAll(async () => {
  product = await startProduct({ findBundle });
  user = await createUser(product, await createAdmin(product));
  await addType(product, "plain");
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

/** Holds a lock while the work goes on. */
async function locked<T>(statement: string, values: unknown[], work: () => Promise<T>): Promise<T> {
  return await connected(product.database.ownerUrl, async (client) => {
    await client.query("begin");
    await client.query(statement, values);
    try {
      return await work();
    } finally {
      await client.query("rollback");
    }
  });
}

async function viewOf({ id }: Instance): Promise<{ state: string; calls: number }> {
  return (await query(product.api.url, "mcp.get", { id }, { token: user.token })).data;
}

async function leaseSecondsOf({ id }: Instance): Promise<number> {
  const [row] = await run<{ seconds: number }>(
    product.database.ownerUrl,
    "select extract(epoch from lease_until - now())::float8 as seconds from instances where id = $1",
    [id],
  );
  return row?.seconds ?? 0;
}

test("a locked row and hanging token checks, both for longer than a lease, cost nobody else anything", async () => {
  const [bystander, caught] = await Promise.all([
    createInstance(product, user, { type: "plain" }),
    createInstance(product, user, { type: "plain" }),
  ]);
  for (const instance of [bystander, caught]) {
    expect((await send(instance, "ping")).status).toBe(200);
    // Once this is written, the node has long heard that the instance is ready, and forgotten the token for it.
    await eventually(3_000, async () => (await viewOf(instance)).calls === 1);
    expect((await send(instance, "ping")).status).toBe(200);
  }
  const [pid] = await processesOf(bystander.id);
  const strangers: Promise<number>[] = [];
  await locked("select 1 from instances where id = $1 for update", [caught.id], async () => {
    await locked("lock table instance_tokens in access exclusive mode", [], async () => {
      for (let index = 0; index < 30; index += 1) {
        const stranger = { endpoint: bystander.endpoint, token: mintToken("mcp").token };
        strangers.push(send(stranger, "ping").then((answer) => answer.status));
      }
      const endsAt = performance.now() + 11_000;
      while (performance.now() < endsAt) {
        // Checked before the trouble began, and nothing has changed since.
        expect((await send(bystander, "ping")).status).toBe(200);
        expect(await leaseSecondsOf(bystander)).toBeGreaterThan(5);
      }
      // What could not be renewed was ended before anybody else could claim it.
      expect(await processesOf(caught.id)).toEqual([]);
    });
  });
  expect(new Set(await Promise.all(strangers))).toEqual(new Set([503]));
  expect(await processesOf(bystander.id)).toEqual([pid]);
  // And it starts again by itself.
  await eventually(8_000, async () => (await send(caught, "ping")).status === 200);
});

test("an instance whose row is locked while it starts serves, and is ready once that can be written", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  await eventually(2_000, async () => (await viewOf(instance)).state === "starting");
  await locked("select 1 from instances where id = $1 for update", [instance.id], async () => {
    expect((await send(instance, "ping")).status).toBe(200);
  });
  await eventually(3_000, async () => (await viewOf(instance)).state === "ready");
});

test("an instance whose row is locked at its deadline ends in time, and its receipt is complete later", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  expect((await send(instance, "ping")).status).toBe(200);
  await moveDeadline(product, instance.id, 1_000);
  const deadline = performance.now() + 1_000;
  await eventually(900, async () => (await leaseSecondsOf(instance)) > 9);
  await locked("select 1 from instances where id = $1 for update", [instance.id], async () => {
    await eventually(
      deadline + 1_000 - performance.now(),
      async () => (await processesOf(instance.id)).length === 0,
    );
    // Others come and go meanwhile.
    const other = await createInstance(product, user, { type: "plain" });
    expect((await send(other, "ping")).status).toBe(200);
  });
  await expect
    .poll(
      async () =>
        (await query(product.api.url, "mcp.receipt", { id: instance.id }, { token: user.token })).data,
      { timeout: 4_000 },
    )
    .toMatchObject({ final: true, endReason: "expired", calls: 1, incomplete: false });
});

test("a storm of notifications costs time, and neither calls nor leases nor changes that matter", async () => {
  const [instance, doomed] = await Promise.all([
    createInstance(product, user, { type: "plain" }),
    createInstance(product, user, { type: "plain" }),
  ]);
  for (const { id, ...one } of [instance, doomed]) expect((await send(one, "ping")).status, id).toBe(200);
  const storm = connected(product.database.ownerUrl, async (client) => {
    for (let burst = 0; burst < 20; burst += 1) {
      await client.query(
        "select pg_notify('minimcp_instance', gen_random_uuid()::text), pg_notify('minimcp_instance', $1) from generate_series(1, 1000)",
        [instance.id],
      );
    }
  });
  const over = new AbortController();
  const passed = storm.finally(() => over.abort());
  let slowestMs = 0;
  do {
    const askedAt = performance.now();
    expect((await send(instance, "ping")).status).toBe(200);
    slowestMs = Math.max(slowestMs, performance.now() - askedAt);
  } while (!over.signal.aborted);
  await passed;
  expect(slowestMs).toBeLessThan(1_500);
  expect(await leaseSecondsOf(instance)).toBeGreaterThan(5);
  const revokedAt = performance.now();
  await mutate(product.api.url, "mcp.revoke", { id: doomed.id }, { token: user.token });
  expect((await send(doomed, "ping")).status).toBe(401);
  expect(performance.now() - revokedAt).toBeLessThan(2_000);
});

test("a stop ends the processes at once, although the database lets no round finish", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  expect((await send(instance, "ping")).status).toBe(200);
  await locked("lock table nodes in access exclusive mode", [], async () => {
    const stopped = product.worker?.[Symbol.asyncDispose]();
    await eventually(1_500, async () => (await processesOf(instance.id)).length === 0);
    await stopped;
  });
});
