import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Deployment, makeDeployment, type RunningProcess } from "../support/deployment.ts";
import { createInstance, echo, type Instance, processesOf, send } from "../support/instances.ts";

/*
 * A worker stands still for longer than its leases last (a paused virtual machine, a laptop's lid) and goes on: another
 * has taken over what it held, and it must neither serve that nor keep it running.
 */

let database: TestDatabase;
let deployment: Deployment;
let api: RunningProcess;
let paused: RunningProcess;
let owner: Account;

beforeAll(async () => {
  database = await createTestDatabase();
  deployment = await makeDeployment(database);
  paused = await deployment.startWorker("first");
  api = await deployment.startApi();
  owner = await createAdmin({ api, database });
});

afterAll(async () => {
  paused.kill("SIGCONT");
  await deployment[Symbol.asyncDispose]();
  await database.drop();
});

function at(worker: RunningProcess, instance: Instance): Instance {
  return { ...instance, endpoint: `${worker.url}/mcp/${instance.id}` };
}

/** Which worker process is the ancestor of a process. */
async function ancestorOf(pid: number, candidates: readonly number[]): Promise<number | undefined> {
  for (let current = pid; current > 1;) {
    if (candidates.includes(current)) return current;
    const stat = await readFile(`/proc/${current}/stat`, "utf8").catch(() => "");
    current = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
  }
  return undefined;
}

test("a worker that stood still for 15 seconds serves nothing of what another has taken, and ends it at once", async () => {
  const instances = await Promise.all(Array.from({ length: 3 }, () => createInstance({ api }, owner)));
  for (const instance of instances) await echo(at(paused, instance));
  const other = await deployment.startWorker("second");
  paused.kill("SIGSTOP");
  // Sent while it stands still: the kernel takes them, and it finds them when it goes on.
  const early = instances.map((instance) => send(at(paused, instance), "ping"));
  for (const instance of instances) {
    await eventually(14_000, async () => (await send(at(other, instance), "ping")).status === 200);
  }
  await delay(2_000);
  paused.kill("SIGCONT");
  const continuedAt = performance.now();

  for (const answer of await Promise.all(early)) expect(answer.status).toBe(503);
  while (performance.now() - continuedAt < 1_000) {
    const statuses = await Promise.all(
      instances.map(async (instance) => (await send(at(paused, instance), "ping")).status),
    );
    expect(statuses).toEqual([503, 503, 503]);
  }
  // Half a second of grace, and what it takes to clear away.
  await eventually(1_500, async () => {
    const pids = (await Promise.all(instances.map(({ id }) => processesOf(id)))).flat();
    const owners = await Promise.all(pids.map((pid) => ancestorOf(pid, [paused.pid, other.pid])));
    return owners.every((pid) => pid === other.pid);
  });
  for (const instance of instances) await echo(at(other, instance));
  const rows = await run(
    database.ownerUrl,
    "select distinct fence::int as fence, state, lease_until > now() as held from instances",
  );
  expect(rows).toEqual([{ fence: 2, state: "ready", held: true }]);
  // It is a node like any other again.
  const statuses = await Promise.all(
    [paused, other].map(async (worker) => (await fetch(`${worker.url}/readyz`)).status),
  );
  expect(statuses).toEqual([200, 200]);
}, 60_000);

test("a worker that stood still alone ends what it may not hold any more, and starts it again", async () => {
  const lone = await createTestDatabase();
  try {
    await using alone = await makeDeployment(lone);
    const worker = await alone.startWorker();
    const front = await alone.startApi();
    const admin = await createAdmin({ api: front, database: lone });
    const instance = await createInstance({ api: front }, admin);
    await echo(instance);
    const before = await processesOf(instance.id);
    worker.kill("SIGSTOP");
    await delay(12_000);
    worker.kill("SIGCONT");
    await eventually(8_000, async () => {
      const now = await processesOf(instance.id);
      return now.length > 0 && now.every((pid) => !before.includes(pid));
    });
    await echo(instance);
    const rows = await run(lone.ownerUrl, "select fence::int as fence, state from instances");
    expect(rows).toEqual([{ fence: 2, state: "ready" }]);
  } finally {
    await lone.drop();
  }
}, 60_000);
