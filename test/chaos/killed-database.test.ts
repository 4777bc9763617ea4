import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { type Deployment, makeDeployment, type RunningProcess } from "../support/deployment.ts";
import {
  createInstance as create,
  echo,
  type Instance,
  moveDeadline,
  processesOf,
  send,
} from "../support/instances.ts";
import { KillableDatabase } from "./support/killable-database.ts";

/*
 * PostgreSQL dies by SIGKILL, or stands still, while instances run.
 */

let resources: AsyncDisposableStack;
let database: KillableDatabase;
let deployment: Deployment;
let api: RunningProcess;
let worker: RunningProcess;
let owner: Account;

beforeAll(async () => {
  resources = new AsyncDisposableStack();
  database = resources.use(await KillableDatabase.start());
  deployment = resources.use(await makeDeployment(database.urls));
  [worker, api] = await Promise.all([deployment.startWorker(), deployment.startApi()]);
  owner = await createAdmin({ api, database: database.urls });
});

afterAll(async () => {
  await resources.disposeAsync();
});

async function createInstance(): Promise<Instance> {
  const instance = await create({ api }, owner);
  await echo(instance);
  // Once this is written, the node has long heard that the instance is ready, and forgotten the token for it.
  await expect.poll(() => receiptOf(instance), { timeout: 3_000 }).toMatchObject({ calls: 1 });
  await echo(instance);
  return instance;
}

// oxlint-disable-next-line typescript/no-explicit-any -- the receipt of an instance, of which each test reads a part
async function receiptOf({ id }: Instance): Promise<any> {
  return (await query(api.url, "mcp.receipt", { id }, { token: owner.token })).data;
}

function answeredCalls({ calls, failures }: { calls: number; failures: number }): number {
  return calls - failures;
}

test("LEASE-5: a killed database: live tokens are served on, a deadline is kept, and afterwards nothing is missing", async () => {
  const [goingOn, expiring] = await Promise.all([createInstance(), createInstance()]);
  const pids = await processesOf(goingOn.id);
  const deadline = performance.now() + 3_000;
  await moveDeadline(deployment, expiring.id, 3_000);
  // The move made the node forget; both are known again before the lights go out.
  await Promise.all([echo(goingOn), echo(expiring)]);
  // Killed in the midst of writing them, it would leave receipts that are honestly called incomplete.
  for (const instance of [goingOn, expiring]) {
    await expect.poll(() => receiptOf(instance), { timeout: 2_000 }).toMatchObject({ calls: 3 });
  }
  await database.kill();
  await Promise.all([echo(goingOn), echo(expiring)]);
  await eventually(
    deadline + 1_000 - performance.now(),
    async () => (await processesOf(expiring.id)).length === 0,
  );
  // Nobody can be asked, but it is certainly not served.
  expect((await send(expiring, "ping")).status).toBe(503);
  expect((await send({ ...goingOn, token: expiring.token }, "ping")).status).toBe(503);
  await echo(goingOn);

  await database.restart();
  await eventually(5_000, async () => (await send(expiring, "ping")).status === 401);
  expect(await (await send(expiring, "ping")).json()).toMatchObject({ reason: "expired" });
  await expect
    .poll(() => receiptOf(expiring), { timeout: 5_000 })
    .toMatchObject({ final: true, endReason: "expired", incomplete: false });
  expect(answeredCalls(await receiptOf(expiring))).toBe(4);
  await echo(goingOn);
  expect(await processesOf(goingOn.id)).toEqual(pids);
  const revoked = await mutate(api.url, "mcp.revoke", { id: goingOn.id }, { token: owner.token });
  expect(revoked.data).toMatchObject({ final: true, endReason: "revoked", incomplete: false });
  expect(answeredCalls(revoked.data)).toBe(6);
  expect(await processesOf(goingOn.id)).toEqual([]);
});

test("a database that stands still: live tokens are served on, and nothing is lost when it moves again", async () => {
  const instance = await createInstance();
  const pids = await processesOf(instance.id);
  const frozen = await database.processes();
  for (const pid of frozen) process.kill(pid, "SIGSTOP");
  try {
    const endsAt = performance.now() + 4_000;
    let calls = 0;
    while (performance.now() < endsAt) {
      const startedAt = performance.now();
      await echo(instance);
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      calls += 1;
    }
    expect(calls).toBeGreaterThan(3);
  } finally {
    for (const pid of frozen) process.kill(pid, "SIGCONT");
  }
  await echo(instance);
  expect(await processesOf(instance.id)).toEqual(pids);
});

test("a database that is away for longer than a lease: the worker ends what it may not hold, and starts it again", async () => {
  const instance = await createInstance();
  await database.kill();
  const killedAt = performance.now();
  await eventually(10_500, async () => (await processesOf(instance.id)).length === 0);
  // Others may claim after ten seconds; not at once, since a database may well be back before.
  expect(performance.now() - killedAt).toBeGreaterThan(6_000);
  expect(performance.now() - killedAt).toBeLessThan(10_000);
  await database.restart();
  await eventually(8_000, async () => (await send(instance, "ping")).status === 200);
  expect(await receiptOf(instance)).toMatchObject({ final: false, incomplete: false });
  expect(worker.output()).not.toContain("Unhandled");
});
