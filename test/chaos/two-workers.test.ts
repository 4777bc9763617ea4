import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Deployment, makeDeployment, type RunningProcess } from "../support/deployment.ts";
import { createInstance, echo, type Instance, processesOf, send } from "../support/instances.ts";

/*
 * Two nodes on one database: each instance is held by exactly one, whatever happens to the other.
 */

let database: TestDatabase;
let deployment: Deployment;
let api: RunningProcess;
let workers: [RunningProcess, RunningProcess];
let owner: Account;

beforeAll(async () => {
  database = await createTestDatabase();
  deployment = await makeDeployment(database);
  const [first, second] = await Promise.all([
    deployment.startWorker("first"),
    deployment.startWorker("second"),
  ]);
  workers = [first, second];
  api = await deployment.startApi();
  owner = await createAdmin({ api, database });
});

afterAll(async () => {
  await deployment[Symbol.asyncDispose]();
  await database.drop();
});

function at(worker: RunningProcess, instance: Instance): Instance {
  return { ...instance, endpoint: `${worker.url}/mcp/${instance.id}` };
}

/** The workers that serve an instance; the other says at once that it does not. */
async function servingWorkers(instance: Instance): Promise<RunningProcess[]> {
  const statuses = await Promise.all(
    workers.map(async (worker) => (await send(at(worker, instance), "ping")).status),
  );
  return workers.filter((_, index) => statuses[index] === 200);
}

async function fenceOf({ id }: Instance): Promise<number> {
  const [row] = await run<{ fence: string }>(database.ownerUrl, "select fence from instances where id = $1", [
    id,
  ]);
  return Number(row?.fence);
}

test("each instance is held by one of two workers, and after that one's death by the other, with the same token", async () => {
  const instances = await Promise.all(Array.from({ length: 6 }, () => createInstance({ api }, owner)));
  const holders = new Map<Instance, RunningProcess>();
  for (const instance of instances) {
    await eventually(10_000, async () => (await servingWorkers(instance)).length === 1);
    const [holder] = await servingWorkers(instance);
    if (holder !== undefined) holders.set(instance, holder);
    const askedAt = performance.now();
    const other = workers.find((worker) => worker !== holder);
    if (other === undefined) throw new Error("there are two workers");
    const elsewhere = await send(at(other, instance), "ping");
    expect(elsewhere.status).toBe(503);
    expect(await elsewhere.json()).toMatchObject({ reason: "notHere" });
    expect(performance.now() - askedAt).toBeLessThan(1_000);
    expect(await fenceOf(instance)).toBe(1);
  }

  const [victim] = [...holders.values()];
  const survivor = workers.find((worker) => worker !== victim);
  if (victim === undefined || survivor === undefined) throw new Error("somebody holds the first instance");
  const orphaned = instances.filter((instance) => holders.get(instance) === victim);
  victim.kill("SIGKILL");
  await victim.exited;
  const killedAt = performance.now();
  await eventually(2_000, async () => {
    const pids = await Promise.all(orphaned.map(({ id }) => processesOf(id)));
    return pids.flat().length === 0;
  });
  for (const instance of orphaned) {
    await eventually(13_000, async () => (await send(at(survivor, instance), "ping")).status === 200);
  }
  const takenOverMs = performance.now() - killedAt;
  // Ten seconds of lease, one of the sweep behind them, and the start.
  expect(takenOverMs).toBeGreaterThan(8_000);
  expect(takenOverMs).toBeLessThan(13_000);
  for (const instance of orphaned) {
    await echo(at(survivor, instance));
    expect(await fenceOf(instance)).toBe(2);
  }
  for (const instance of instances.filter((one) => !orphaned.includes(one))) {
    await echo(at(survivor, instance));
    expect(await fenceOf(instance)).toBe(1);
  }
  // Back again, it clears away what it left, and takes nothing from the other.
  await deployment.startWorker(victim === workers[0] ? "first" : "second");
  for (const instance of instances) await echo(at(survivor, instance));
  expect(await deployment.runtime.sockets()).toHaveLength(instances.length);
});
