import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { addType, callTool, createInstance, findBundle, type Instance, send } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

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

async function revoke({ id }: Instance) {
  return (await mutate(product.api.url, "mcp.revoke", { id }, { token: user.token })).data;
}

async function callsOf({ id }: Instance): Promise<number> {
  return (await query(product.api.url, "mcp.get", { id }, { token: user.token })).data.calls;
}

/** @returns how many were answered */
async function callUntil(instance: Instance, over: AbortSignal): Promise<number> {
  let answered = 0;
  while (!over.aborted) {
    const answer = await send(instance, "ping").catch(() => undefined);
    if (answer?.status === 200) answered += 1;
    await answer?.arrayBuffer().catch(() => undefined);
  }
  return answered;
}

test("200 calls at once are counted exactly, by tool, in calls and in bytes", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const answer = await callTool(instance, index % 4 === 0 ? "seldom" : "often", { index });
      return { status: answer.status, bytes: (await answer.arrayBuffer()).byteLength };
    }),
  );
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  const receipt = await revoke(instance);
  expect(receipt).toMatchObject({
    final: true,
    incomplete: false,
    calls: 200,
    failures: 0,
    denials: 0,
    responseBytes: answers.reduce((sum, { bytes }) => sum + bytes, 0),
  });
  expect(receipt.used.tools).toEqual([
    { name: "often", calls: 150 },
    { name: "seldom", calls: 50 },
  ]);
});

test("calls under way when an instance ends are in its receipt, which does not change afterwards", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  expect((await send(instance, "ping")).status).toBe(200);
  const over = new AbortController();
  const pounding = Array.from({ length: 8 }, () => callUntil(instance, over.signal));
  let receipt;
  try {
    await expect.poll(() => callsOf(instance), { timeout: 5_000 }).toBeGreaterThan(20);
    receipt = await revoke(instance);
  } finally {
    over.abort();
  }
  expect(receipt).toMatchObject({ final: true, incomplete: false });
  const answered = (await Promise.all(pounding)).reduce((sum, count) => sum + count, 1);
  // What was cut by the end was a call too, and the client may not have seen its answer.
  expect(receipt.calls).toBeGreaterThanOrEqual(answered);
  expect(receipt.calls - receipt.failures).toBeLessThanOrEqual(answered + 8);
  const later = await query(product.api.url, "mcp.receipt", { id: instance.id }, { token: user.token });
  expect(later.data).toEqual(receipt);
});

test("refusals of a token that was live once are counted as denials, those of an unknown one as nothing", async () => {
  const idempotencyKey = "counting refusals";
  const first = await createInstance(product, user, { type: "plain", idempotencyKey });
  expect((await send(first, "ping")).status).toBe(200);
  const second = await createInstance(product, user, { type: "plain", idempotencyKey });
  await expect.poll(async () => (await send(first, "ping")).status).toBe(401);
  for (const token of [first.token, first.token, `${second.token.slice(0, -1)}!`]) {
    expect((await send({ endpoint: first.endpoint, token }, "ping")).status).toBe(401);
  }
  const receipt = await revoke(second);
  // The last call of the poll, and two more; nobody can tell whose the damaged one was.
  expect(receipt).toMatchObject({ denials: 3, failures: 0 });
});

test("answers of 10 MB come whole; what is over a limit gets a named error, and disturbs nobody else", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const big = async (megabytes: number) => {
    const answer = await callTool(instance, "big", { megabytes });
    return { status: answer.status, text: await answer.text() };
  };
  const [ten, tooBig, ...small] = await Promise.all([
    big(10),
    big(40).catch((error: Error) => error),
    ...Array.from({ length: 5 }, () => send(instance, "ping")),
  ]);
  expect(ten.status).toBe(200);
  expect(JSON.parse(ten.text).result.text).toHaveLength(10_000_000);
  // It had begun before anybody could know its size: cut, and never a clean end.
  expect(tooBig).toBeInstanceOf(Error);
  expect(small.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  const refused = await callTool(instance, "look", { text: "x".repeat(5 * 1024 * 1024) });
  expect(refused.status).toBe(413);
  expect(await refused.json()).toMatchObject({ reason: "requestTooLarge" });
  expect((await send(instance, "ping")).status).toBe(200);
});
