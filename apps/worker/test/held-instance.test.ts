import { fileURLToPath } from "node:url";

import type { Closing } from "@minimcp/core";
import { type ChildSpec, openPool, type Pool } from "@minimcp/pool";
import { afterAll, beforeAll, expect, test } from "vitest";

// @boundaries-ignore What the tests of all rooms share belongs to no room.
import { makeRuntimeDirectory, type TestRuntime } from "../../../test/support/runtime-directory.ts";
import { HeldInstance, type InstanceOwner } from "../src/held-instance.ts";
import { NotRunnable } from "../src/not-runnable.ts";

// What a claim brings along, such as a broker with an open key, must not outlive the claim, however that ends.

let runtime: TestRuntime;
let pool: Pool;

beforeAll(async () => {
  runtime = await makeRuntimeDirectory();
  pool = await openPool({
    runtimeDirectory: runtime.path,
    nodeBinary: process.execPath,
    minimumLevel: "none",
  });
});

afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
});

const plain: Omit<ChildSpec, "id"> = {
  bundleDirectory: fileURLToPath(new URL("../../../test/fixtures/server", import.meta.url)),
  entry: "server.js",
  args: ["plain"],
};

function hold(id: string, equip: InstanceOwner["equip"], itsPool = pool) {
  const ready = Promise.withResolvers<void>();
  const exhausted = Promise.withResolvers<Closing>();
  const defects: unknown[] = [];
  const instance = new HeldInstance(
    { instanceId: id, fence: 1, remainingMs: 60_000, renewals: 0 },
    performance.now() + 60_000,
    {
      pool: itsPool,
      equip,
      onSpawn: () => undefined,
      onReady: () => {
        ready.resolve();
        return Promise.resolve(true);
      },
      onRestarting: () => Promise.resolve(),
      onExhausted: (_, closing) => exhausted.resolve(closing),
      onDefect: (_, error) => defects.push(error),
    },
  );
  return { instance, ready: ready.promise, exhausted: exhausted.promise, defects };
}

test("what an instance was equipped with is there before its process, and gone when its end is", async () => {
  const order: string[] = [];
  const { instance, ready, defects } = hold("equipped", (_, resources) => {
    order.push(`equipped, ${pool.children().length} processes`);
    resources.defer(() => {
      order.push(`released, ${pool.children().length} processes`);
    });
    return Promise.resolve(plain);
  });
  await ready;
  expect(order).toEqual(["equipped, 0 processes"]);
  await instance.end();
  // First: nothing may be asked for in its name while its process has a moment to go.
  expect(order).toEqual(["equipped, 0 processes", "released, 1 processes"]);
  expect(pool.children()).toEqual([]);
  expect(defects).toEqual([]);
});

test("one that ends while it is being equipped starts nothing, and lets go of what it had by then", async () => {
  const reached = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  let isReleased = false;
  const { instance, defects } = hold("interrupted", async (_, resources) => {
    resources.defer(() => {
      isReleased = true;
    });
    reached.resolve();
    await goOn.promise;
    return plain;
  });
  await reached.promise;
  const ended = instance.end();
  goOn.resolve();
  await ended;
  expect(isReleased).toBe(true);
  expect(pool.children()).toEqual([]);
  expect(defects).toEqual([]);
});

test("one that cannot run here fails in words for its owner, and lets go of what it had by then", async () => {
  let isReleased = false;
  const { instance, exhausted, defects } = hold("not-runnable", (_, resources) => {
    resources.defer(() => {
      isReleased = true;
    });
    return Promise.reject(new NotRunnable("There is no port for it."));
  });
  expect(await exhausted).toEqual({ kind: "failed", failure: "There is no port for it." });
  await instance.end();
  expect({ isReleased, defects }).toEqual({ isReleased: true, defects: [] });
});

test("what nobody expected is told to the operator, and its owner learns no more than that it could not be started", async () => {
  const cause = new Error("ENOENT: /secret/path");
  const { instance, exhausted, defects } = hold("defect", (_, resources) => {
    resources.defer(() => {
      throw new Error("it does not let go");
    });
    return Promise.reject(cause);
  });
  expect(await exhausted).toEqual({ kind: "failed", failure: "The node could not start it." });
  await instance.end();
  expect(defects).toMatchObject([cause, { message: "it does not let go" }]);
});

const askForLess = "Create a new one, and ask it for less at a time.";

test("one that meets the limit of the processor or of memory ends with that reason, and the number in words", async () => {
  await using strict = await openPool({
    runtimeDirectory: runtime.path,
    nodeBinary: process.execPath,
    minimumLevel: "none",
    limits: { cpuWindowMs: 1_500 },
  });
  const busy = hold(
    "busy",
    () => Promise.resolve({ ...plain, args: ["busy"], limits: { cpuCores: 0.1 } }),
    strict,
  );
  expect(await busy.exhausted).toEqual({
    kind: "ended",
    reason: "cpu",
    explanation: `It wanted more than its 10 % of a processor for 3 seconds. ${askForLess}`,
  });
  await busy.instance.end();
  const greedy = hold("greedy", () => Promise.resolve({ ...plain, args: ["greedy"] }));
  expect(await greedy.exhausted).toEqual({
    kind: "ended",
    reason: "memory",
    explanation: `It took more than its 512 MB of memory. ${askForLess}`,
  });
  await greedy.instance.end();
});
