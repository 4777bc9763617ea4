import { readWorkerConfig } from "@minimcp/worker/env";
import { type RunningWorker, startWorker } from "@minimcp/worker/start";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import {
  addType,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct, testMasterKey } from "../support/product.ts";

/*
 * One node from life to life: the product of the test runs the first, each test the next under the same name.
 */

let product: Product;
let user: Account;
/** The worker that holds the instances now. */
let current: RunningWorker;

beforeAll(async () => {
  product = await startProduct({ findBundle });
  if (product.worker === null) throw new Error("a worker was asked for");
  current = product.worker;
  user = await createUser(product, await createAdmin(product));
  await addType(product, "plain");
});

afterAll(async () => {
  await current[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

function startNext(): Promise<RunningWorker> {
  const config = readWorkerConfig({
    MINIMCP_HOME: product.home,
    MASTER_KEY: testMasterKey,
    DATABASE_URL_WORKER: product.database.workerUrl,
    GATEWAY_PORT: "0",
  });
  return startWorker(config, pino({ level: "silent" }), { findBundle });
}

/** The same instance and token, at the address of another worker. */
function at(worker: RunningWorker, instance: Instance): Instance {
  return { ...instance, endpoint: `${worker.url}/mcp/${instance.id}` };
}

// oxlint-disable-next-line typescript/no-explicit-any -- the receipt of an instance, of which each test reads a part
async function receiptOf({ id }: Instance): Promise<any> {
  return (await query(product.api.url, "mcp.receipt", { id }, { token: user.token })).data;
}

test("an orderly stop hands everything over: the same token works at once, and no count is missing", async () => {
  const [goingOn, expiring] = await Promise.all([
    createInstance(product, user, { type: "plain" }),
    createInstance(product, user, { type: "plain" }),
  ]);
  for (const instance of [goingOn, goingOn, expiring]) {
    expect((await send(instance, "ping")).status).toBe(200);
  }
  await current[Symbol.asyncDispose]();
  expect(await processesOf(goingOn.id)).toEqual([]);
  expect(await receiptOf(goingOn)).toMatchObject({ state: "requested", calls: 2, final: false });
  await moveDeadline(product, expiring.id, 0);

  current = await startNext();
  const startedAt = performance.now();
  expect((await send(at(current, goingOn), "ping")).status).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  const expired = await send(at(current, expiring), "ping");
  expect(expired.status).toBe(401);
  expect(await expired.json()).toMatchObject({ reason: "expired" });
  await expect
    .poll(() => receiptOf(goingOn), { timeout: 3_000 })
    .toMatchObject({ calls: 3, incomplete: false });
  expect(await receiptOf(expiring)).toMatchObject({
    final: true,
    endReason: "expired",
    calls: 1,
    incomplete: false,
  });
});

test("a worker whose name another process takes ends its processes at once, and serves nothing any more", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const former = current;
  expect((await send(at(former, instance), "ping")).status).toBe(200);
  const [formerPid] = await processesOf(instance.id);
  const stream = await send(at(former, instance), "tools/call", { name: "stream" });
  expect(stream.status).toBe(200);

  current = await startNext();
  // Its open stream would otherwise be good for as long as a drain lasts.
  await eventually(2_500, async () => !(await processesOf(instance.id)).includes(formerPid ?? 0));
  await expect(stream.text()).rejects.toThrow("terminated");
  expect(former.finished.aborted).toBe(true);
  expect((await send(at(current, instance), "ping")).status).toBe(200);
  expect(await processesOf(instance.id)).toHaveLength(1);
  expect((await send(at(former, instance), "ping")).status).toBe(503);
  await former[Symbol.asyncDispose]();
  // It did not let go of what is no longer its own.
  expect((await send(at(current, instance), "ping")).status).toBe(200);
  const rows = await run(
    product.database.ownerUrl,
    "select state, lease_until > now() as held from instances where id = $1",
    [instance.id],
  );
  expect(rows).toEqual([{ state: "ready", held: true }]);
});
