import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { claimInstances, registerNode, renewLeases } from "@minimcp/core";
import { openDatabase, startEmbeddedPostgres } from "@minimcp/db";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { addIdleNode } from "../security/support/idle-node.ts";
import { type Account, createAdmin, signIn } from "../support/accounts.ts";
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
import { canMoveClocks, makeMovableClock, type MovableClock } from "../support/movable-clock.ts";
import { prepareDatabase } from "../support/own-server.ts";
import { startProduct } from "../support/product.ts";
import { run } from "../support/sql.ts";
import { until } from "../support/until.ts";

/*
 * The attack: the clock of a host is set, by NTP, by a restored virtual machine, or by somebody who wants more time than
 * he was given. Database, API and worker each run by a wall clock of their own, as on three hosts; the monotonic clock
 * goes on truly, as the kernel has it.
 */

const day = 86_400;

async function isGone({ id }: Instance): Promise<boolean> {
  return (await processesOf(id)).length === 0;
}

async function refusalOf(instance: Instance) {
  const response = await send(instance, "ping");
  const { reason } = (await response.json()) as { reason: string };
  return { status: response.status, reason };
}

describe.runIf(canMoveClocks())("clocks that jump", { timeout: 90_000 }, () => {
  let resources: AsyncDisposableStack;
  let clocks: Record<"database" | "api" | "worker", MovableClock>;
  let deployment: Deployment;
  let api: RunningProcess;
  let worker: RunningProcess;
  let owner: Account;

  beforeAll(async () => {
    resources = new AsyncDisposableStack();
    const home = await mkdtemp("/tmp/minimcp-chaos-");
    resources.defer(() => rm(home, { recursive: true, force: true }));
    clocks = {
      database: resources.use(await makeMovableClock()),
      api: resources.use(await makeMovableClock()),
      worker: resources.use(await makeMovableClock()),
    };
    const server = resources.use(
      await startEmbeddedPostgres({
        home,
        closedHomeRoot: join(home, "closed"),
        settings: { fsync: "off", synchronous_commit: "off" },
        environment: clocks.database.environment,
      }),
    );
    deployment = resources.use(await makeDeployment(await prepareDatabase(server)));
    [worker, api] = await Promise.all([
      deployment.startWorker("first", clocks.worker.environment),
      deployment.startApi(clocks.api.environment),
    ]);
    owner = await createAdmin({ api, database: deployment.database });
  });

  afterAll(async () => {
    await resources.disposeAsync();
  });

  beforeEach(async () => {
    await setAll(0);
    // No node counts as living until it has said so under the new time.
    await rounds(1);
    owner = await signIn({ api, database: deployment.database }, owner.email);
  });

  async function setAll(offsetSeconds: number): Promise<void> {
    await Promise.all(Object.values(clocks).map((clock) => clock.set(offsetSeconds)));
  }

  async function createInstance(input: object = {}): Promise<Instance> {
    const instance = await create({ api }, owner, input);
    await echo(instance);
    return instance;
  }

  /** The facts, by the database and not by an API whose clock may refuse its own tokens. */
  async function rowOf({ id }: Instance) {
    const [row] = await run<Record<string, unknown>>(
      deployment.database.ownerUrl,
      `select i.state, i.end_reason as reason, i.starts, r.closed_at is not null as final, r.incomplete,
         (select count(*)::int from receipts where instance_id = i.id) as receipts,
         (select count(*)::int from audit.events where action = 'instance.end' and resource_id = i.id::text) as ends
       from instances i join receipts r on r.instance_id = i.id where i.id = $1`,
      [id],
    );
    return row;
  }

  const over = { state: "ended", reason: "expired", final: true, incomplete: false, receipts: 1, ends: 1 };

  /** Rounds of a worker: it has asked the database again what it holds, and for how long. */
  async function rounds(count: number): Promise<void> {
    for (let round = 0; round < count; round += 1) {
      const before = await aliveUntil();
      await until("another round of the worker", async () => (await aliveUntil()) !== before, 10_000);
    }
  }

  async function aliveUntil(): Promise<string | undefined> {
    const [row] = await run<{ at: string }>(
      deployment.database.ownerUrl,
      "select string_agg(alive_until::text, ' ' order by id) as at from nodes",
    );
    return row?.at;
  }

  async function expectAlive(instance: Instance, pids: number[]): Promise<void> {
    await echo(instance);
    expect(await processesOf(instance.id)).toEqual(pids);
    expect(await rowOf(instance)).toMatchObject({ state: "ready", starts: 1, final: false });
  }

  /** It ends at its deadline and not before, by the true time that passes. */
  async function expectItsLife(instance: Instance, lifeMs: number): Promise<void> {
    const pids = await processesOf(instance.id);
    const movedAt = performance.now();
    await moveDeadline(deployment, instance.id, lifeMs);
    await expectAlive(instance, pids);
    await until("the instance is gone", () => isGone(instance), lifeMs + 5_000);
    expect(performance.now() - movedAt).toBeGreaterThan(lifeMs - 100);
    await expect.poll(() => rowOf(instance), { timeout: 5_000 }).toMatchObject(over);
    expect(await refusalOf(instance)).toEqual({ status: 401, reason: "expired" });
  }

  test("LEASE-6: all clocks set forward by a day end what is due, and nothing that is made afterwards", async () => {
    const due = await Promise.all([createInstance(), createInstance({ expirationMinutes: 1_439 })]);
    await setAll(day);
    for (const instance of due) {
      await until("what is due is gone", () => isGone(instance), 5_000);
      await expect.poll(() => rowOf(instance), { timeout: 5_000 }).toMatchObject(over);
      expect(await refusalOf(instance)).toEqual({ status: 401, reason: "expired" });
    }
    owner = await signIn({ api, database: deployment.database }, owner.email);
    const later = await createInstance();
    const pids = await processesOf(later.id);
    await rounds(3);
    await expectAlive(later, pids);
    await expectItsLife(later, 2_000);
  });

  test("LEASE-6: all clocks set back bring nothing that has ended to life again, and what is made then lives its life", async () => {
    const ended = await createInstance();
    await setAll(day);
    await expect.poll(() => rowOf(ended), { timeout: 10_000 }).toMatchObject(over);
    await setAll(0);
    await rounds(3);
    expect(await isGone(ended)).toBe(true);
    expect(await refusalOf(ended)).toEqual({ status: 401, reason: "expired" });
    expect(await rowOf(ended)).toMatchObject(over);
    owner = await signIn({ api, database: deployment.database }, owner.email);
    const renewed = await mutate(api.url, "mcp.renew", { id: ended.id, minutes: 60 }, { token: owner.token });
    expect(renewed.error?.reason).toBe("mcp.over");
    await expectItsLife(await createInstance(), 2_000);
  });

  test("LEASE-6: a token that was replaced stays refused though the clocks are set back behind its end", async () => {
    await setAll(day);
    await rounds(1);
    owner = await signIn({ api, database: deployment.database }, owner.email);
    const idempotencyKey = "made under a clock that is wrong";
    const replaced = await createInstance({ idempotencyKey });
    const instance = await create({ api }, owner, { idempotencyKey });
    await setAll(0);
    await rounds(2);
    expect(await refusalOf(replaced)).toEqual({ status: 401, reason: "revoked" });
    await echo(instance);
  });

  test.each([
    ["forward", day],
    ["back", -day],
  ])("LEASE-6: the clock of a worker's host set %s alone changes no deadline", async (_, offset) => {
    const instance = await createInstance();
    const pids = await processesOf(instance.id);
    await clocks.worker.set(offset);
    await rounds(3);
    await expectAlive(instance, pids);
    await expectItsLife(instance, 3_000);
    await expectItsLife(await createInstance(), 2_000);
  });

  test("LEASE-6: the database's clock set forward alone ends what is due", async () => {
    const instance = await createInstance();
    await clocks.database.set(day);
    await until("what is due is gone", () => isGone(instance), 5_000);
    await expect.poll(() => rowOf(instance), { timeout: 5_000 }).toMatchObject(over);
    expect(await refusalOf(instance)).toEqual({ status: 401, reason: "expired" });
  });

  test("LEASE-6: the database's clock set back gives nobody more time than was granted", async () => {
    const instance = await createInstance();
    const pids = await processesOf(instance.id);
    const movedAt = performance.now();
    await moveDeadline(deployment, instance.id, 4_000);
    await rounds(2);
    await clocks.database.set(-day);
    await rounds(1);
    await expectAlive(instance, pids);
    await until("the instance is gone", () => isGone(instance), 10_000);
    expect(performance.now() - movedAt).toBeLessThan(7_000);
    await expect.poll(() => rowOf(instance), { timeout: 5_000 }).toMatchObject(over);
    expect(await refusalOf(instance)).toEqual({ status: 401, reason: "expired" });
  });

  test("LEASE-6: a node that dies before the database's clock is set back keeps nothing from the other nodes", async () => {
    const instances = await Promise.all([createInstance(), createInstance()]);
    const second = await deployment.startWorker("second", clocks.worker.environment);
    worker.kill("SIGKILL");
    await worker.exited;
    await clocks.database.set(-day);
    for (const instance of instances) {
      const moved = { ...instance, endpoint: `${second.url}/mcp/${instance.id}` };
      await expect.poll(async () => (await send(moved, "ping")).status, { timeout: 20_000 }).toBe(200);
    }
    await second[Symbol.asyncDispose]();
    worker = await deployment.startWorker("first", clocks.worker.environment);
  });

  test("LEASE-6: sessions and access tokens of a time that was taken back crash nothing", async () => {
    await setAll(day);
    const ahead = await signIn({ api, database: deployment.database }, owner.email);
    await setAll(0);
    const answers = await Promise.all([
      query(api.url, "mcp.list", undefined, { token: ahead.token }),
      mutate(api.url, "auth.refresh", { refreshToken: ahead.refreshToken }),
      query(api.url, "auth.me", undefined, { token: owner.token }),
    ]);
    for (const { status } of answers) expect([200, 401]).toContain(status);
    await signIn({ api, database: deployment.database }, owner.email);
    for (const part of [api, worker]) {
      expect((await fetch(`${part.url}/readyz`)).status).toBe(200);
      expect(part.output()).not.toContain("Unhandled");
    }
  });
});

test("LEASE-6: a leap between renewal and claim lets a node start nothing beside what it runs, and others take it over", async () => {
  await using product = await startProduct({ worker: false });
  await using db = openDatabase({ url: product.database.workerUrl, applicationName: "clocks" });
  await addIdleNode(product.database.ownerUrl);
  const node = { nodeId: randomUUID(), epoch: randomUUID() };
  const other = { nodeId: randomUUID(), epoch: randomUUID() };
  for (const one of [node, other]) {
    await registerNode(db, one, { address: "http://127.0.0.1:1", isolation: {}, capacity: 1 });
  }
  const { id } = await create(product, await createAdmin(product));
  expect(await claimInstances(db, node, 1)).toMatchObject([{ instanceId: id, fence: 1 }]);
  await run(product.database.ownerUrl, "update instances set lease_until = lease_until - interval '1 h'");
  expect(await claimInstances(db, node, 1)).toEqual([]);
  expect(await renewLeases(db, node)).toMatchObject([{ instanceId: id, fence: 1 }]);
  await run(product.database.ownerUrl, "update instances set lease_until = lease_until - interval '1 h'");
  expect(await claimInstances(db, other, 1)).toMatchObject([{ instanceId: id, fence: 2 }]);
});

test("LEASE-6: a node that takes an instance after the database's clock was set back gives it no more than was granted", async () => {
  await using product = await startProduct({ worker: false });
  await using db = openDatabase({ url: product.database.workerUrl, applicationName: "clocks" });
  await addIdleNode(product.database.ownerUrl);
  const node = { nodeId: randomUUID(), epoch: randomUUID() };
  await registerNode(db, node, { address: "http://127.0.0.1:1", isolation: {}, capacity: 1 });
  const { id } = await create(product, await createAdmin(product), { expirationMinutes: 5 });
  // What was written before the clock went back by a day lies a day ahead of it.
  await run(
    product.database.ownerUrl,
    "update instances set created_at = created_at + interval '1 day', expires_at = expires_at + interval '1 day' where id = $1",
    [id],
  );
  const [claimed] = await claimInstances(db, node, 1);
  expect(claimed?.remainingMs).toBe(5 * 60_000);
});
