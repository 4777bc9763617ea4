import { readdir, readlink } from "node:fs/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate } from "../support/call.ts";
import {
  addType,
  createInstance,
  findBundle,
  type Instance,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { makeRuntimeDirectory, type TestRuntime } from "../support/runtime-directory.ts";

let runtime: TestRuntime;
let product: Product;
let owner: Account;

beforeAll(async () => {
  runtime = await makeRuntimeDirectory();
  product = await startProduct({
    findBundle,
    environment: { RUNTIME_DIRECTORY: runtime.path, INSTANCE_UIDS: "22000-22249" },
  });
  owner = await createAdmin(product);
  await addType(product, "plain");
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
});

async function revoke({ id }: Instance): Promise<{ final: boolean; calls: number }> {
  return (await mutate(product.api.url, "mcp.revoke", { id }, { token: owner.token })).data;
}

/** Locks of uids that this process holds: its worker's. */
async function heldUids(): Promise<string[]> {
  const descriptors = await readdir("/proc/self/fd");
  const targets = await Promise.all(
    descriptors.map((descriptor) => readlink(`/proc/self/fd/${descriptor}`).catch(() => "")),
  );
  return targets.filter((target) => /\/uid\/\d+\.lock$/.test(target));
}

async function countDescriptors(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}

test("LEASE-8: 200 instances created and revoked at once: rows, receipts, events, processes, sockets, uids and ports agree", async () => {
  const instances = await Promise.all(
    Array.from({ length: 200 }, () => createInstance(product, owner, { type: "plain" })),
  );
  const receipts = await Promise.all(instances.map(revoke));
  // One that is asked while many are ending may not be over yet when the answer must come.
  await expect
    .poll(
      () => run(product.database.ownerUrl, "select state, count(*)::int as count from instances group by 1"),
      {
        timeout: 30_000,
      },
    )
    .toEqual([{ state: "ended", count: 200 }]);
  expect(receipts).toHaveLength(200);
  const events = await run(
    product.database.ownerUrl,
    `select count(*)::int as events, count(distinct resource_id)::int as instances
     from audit.events where action = 'instance.end'`,
  );
  expect(events).toEqual([{ events: 200, instances: 200 }]);
  const closed = await run(
    product.database.ownerUrl,
    "select count(*)::int as count from receipts where closed_at is not null and not incomplete",
  );
  expect(closed).toEqual([{ count: 200 }]);
  for (const { id } of instances) expect(await processesOf(id)).toEqual([]);
  expect(await runtime.sockets()).toEqual([]);
  expect(await heldUids()).toEqual([]);
  expect(await run(product.database.ownerUrl, "select * from port_leases")).toEqual([]);
}, 120_000);

test("RES-9: 100 starts and stops leave no descriptor, socket, file, process, uid or lease behind", async () => {
  const cycle = async (): Promise<void> => {
    const instance = await createInstance(product, owner, { type: "plain" });
    expect((await send(instance, "ping")).status).toBe(200);
    expect(await revoke(instance)).toMatchObject({ final: true, calls: 1 });
    expect(await processesOf(instance.id)).toEqual([]);
  };
  for (let count = 0; count < 10; count += 1) await cycle();
  const before = await countDescriptors();
  // Beside the stage, where what uids and bundles have in common is kept for a day.
  const files = async (): Promise<string[]> =>
    (await readdir(`${runtime.path}/o`, { recursive: true })).toSorted();
  const filesBefore = await files();
  for (let count = 0; count < 90; count += 1) await cycle();
  // Connections come and go in pools; anything that leaks once a cycle would be 90 more.
  expect(await countDescriptors()).toBeLessThan(before + 20);
  expect(await runtime.sockets()).toEqual([]);
  expect(await files()).toEqual(filesBefore);
  expect(await heldUids()).toEqual([]);
  const held = await run(product.database.ownerUrl, "select id from instances where lease_until is not null");
  expect(held).toEqual([]);
}, 180_000);
