import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Deployment, makeDeployment, type RunningProcess } from "../support/deployment.ts";
import {
  createInstance as create,
  echo,
  type Instance,
  moveDeadline,
  processesOf,
  send,
} from "../support/instances.ts";

/*
 * The worker and the API die by SIGKILL while instances run.
 */

let database: TestDatabase;
let deployment: Deployment;
let api: RunningProcess;
let worker: RunningProcess;
let owner: Account;

beforeAll(async () => {
  database = await createTestDatabase();
  deployment = await makeDeployment(database);
  [worker, api] = await Promise.all([deployment.startWorker(), deployment.startApi()]);
  owner = await createAdmin({ api, database });
});

afterAll(async () => {
  await deployment[Symbol.asyncDispose]();
  await database.drop();
});

async function createInstance(): Promise<Instance> {
  const instance = await create({ api }, owner);
  await echo(instance);
  return instance;
}

async function kill(victim: RunningProcess): Promise<void> {
  victim.kill("SIGKILL");
  expect(await victim.exited).toBe("SIGKILL");
}

// oxlint-disable-next-line typescript/no-explicit-any -- the receipt of an instance, of which each test reads a part
async function receiptOf({ id }: Instance): Promise<any> {
  return (await query(api.url, "mcp.receipt", { id }, { token: owner.token })).data;
}

test("LEASE-3, ISO-13: a killed worker leaves no process for two seconds; its successor serves the same URL and token, except what is due", async () => {
  const [goingOn, expiring, revoked] = await Promise.all([
    createInstance(),
    createInstance(),
    createInstance(),
  ]);
  await expect.poll(() => receiptOf(goingOn), { timeout: 3_000 }).toMatchObject({ calls: 1 });
  const all = [goingOn, expiring, revoked];
  await kill(worker);
  await eventually(2_000, async () => {
    const pids = await Promise.all(all.map(({ id }) => processesOf(id)));
    return pids.flat().length === 0;
  });
  await moveDeadline(deployment, expiring.id, 0);
  const stopping = await mutate(api.url, "mcp.revoke", { id: revoked.id }, { token: owner.token });
  // Whoever held it cannot say any more that it is over.
  expect(stopping.data).toMatchObject({ endReason: "revoked" });

  worker = await deployment.startWorker();
  const startedAt = performance.now();
  await echo(goingOn);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  for (const [instance, reason] of [
    [expiring, "expired"],
    [revoked, "revoked"],
  ] as const) {
    const refused = await send(instance, "ping");
    expect(refused.status, reason).toBe(401);
    expect(await refused.json()).toMatchObject({ reason });
    await expect
      .poll(() => receiptOf(instance), { timeout: 3_000 })
      .toMatchObject({ final: true, endReason: reason, incomplete: true });
    expect(await processesOf(instance.id)).toEqual([]);
  }
  await expect
    .poll(() => receiptOf(goingOn), { timeout: 3_000 })
    .toMatchObject({ calls: 2, incomplete: true, final: false });
  // What the killed one left in its runtime directory went with its successor's start.
  expect(await deployment.runtime.sockets()).toHaveLength(1);
});

test("LEASE-4, RES-11: without the API an instance goes on, ends within a second of its deadline, and is revoked through its successor", async () => {
  const [goingOn, expiring] = await Promise.all([createInstance(), createInstance()]);
  await kill(api);
  await echo(goingOn);
  await moveDeadline(deployment, expiring.id, 500);
  await eventually(1_500, async () => (await processesOf(expiring.id)).length === 0);
  expect(await (await send(expiring, "ping")).json()).toMatchObject({ reason: "expired" });
  await echo(goingOn);

  api = await deployment.startApi();
  expect(await receiptOf(expiring)).toMatchObject({ final: true, endReason: "expired", incomplete: false });
  const revoked = await mutate(api.url, "mcp.revoke", { id: goingOn.id }, { token: owner.token });
  expect(revoked.data).toMatchObject({ final: true, endReason: "revoked", calls: 3, incomplete: false });
  expect((await send(goingOn, "ping")).status).toBe(401);
  expect(await processesOf(goingOn.id)).toEqual([]);
});

test.each([
  { what: "that is asked to stop", stop: () => worker.kill("SIGTERM") },
  { what: "whose supervisor is gone", stop: () => worker.hangUp() },
])("a worker $what ends in order: nothing left, nothing held, nothing unwritten", async ({ stop }) => {
  const instance = await createInstance();
  stop();
  expect(await worker.exited, worker.output()).toBe(0);
  expect(await processesOf(instance.id)).toEqual([]);
  expect(await deployment.runtime.sockets()).toEqual([]);
  const held = await run(database.ownerUrl, "select id from instances where lease_until > now()");
  expect(held).toEqual([]);
  expect(await receiptOf(instance)).toMatchObject({ calls: 1, incomplete: false });
  worker = await deployment.startWorker();
  await echo(instance);
});
