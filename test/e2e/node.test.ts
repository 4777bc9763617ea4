import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

import { createVault, digestToken, type NodeIdentity, parseKeyring, registerNode } from "@minimcp/core";
import { type Database, openDatabase } from "@minimcp/db";
import { openPool, type Pool } from "@minimcp/pool";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import { addType, createInstance, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct, testMasterKey } from "../support/product.ts";
import { makeRuntimeDirectory, type TestRuntime } from "../support/runtime-directory.ts";
import { Node } from "@minimcp/worker/node";

// A node in the hands of the test: it hears of changes when the test says so, and its token checks can be held up.
let resources: AsyncDisposableStack;
let runtime: TestRuntime;
let product: Product;
let user: Account;
let pool: Pool;
let db: Database;
let tokens: HeldUpDatabase;
let identity: NodeIdentity;
let node: Node;
/** Whether the node has heard of every change. */
let isFresh = true;

/** The real database, whose answers arrive when the test lets them. */
class HeldUpDatabase {
  readonly #db: Database;
  #gate: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.#db = database;
  }

  /** From now on answers are read, and kept back until the returned function is called. */
  holdUp(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }

  readonly as: Database["as"] = async (actor, work) => {
    const answer = await this.#db.as(actor, work);
    this.answered += 1;
    await this.#gate;
    return answer;
  };

  answered = 0;
}

beforeAll(async () => {
  resources = new AsyncDisposableStack();
  runtime = resources.use(await makeRuntimeDirectory());
  product = resources.use(await startProduct({ worker: false }));
  user = await createUser(product, await createAdmin(product));
  await addType(product, "plain");
  const url = product.database.workerUrl;
  db = resources.use(openDatabase({ url, applicationName: "node test" }));
  const direct = resources.use(openDatabase({ url, applicationName: "node test" }));
  tokens = new HeldUpDatabase(direct);
  pool = resources.use(
    await openPool({
      runtimeDirectory: runtime.path,
      nodeBinary: process.execPath,
      minimumLevel: "none",
    }),
  );
  identity = { nodeId: randomUUID(), epoch: randomUUID() };
  const { level, parts } = pool.isolation;
  await registerNode(db, identity, {
    address: "http://127.0.0.1:1",
    isolation: { level, parts },
    capacity: 100,
  });
  node = resources.use(
    new Node({
      db,
      tokens: { ...direct, as: tokens.as },
      identity,
      capacity: 100,
      pool,
      vault: createVault(parseKeyring(testMasterKey)),
      loopbackUpstreams: undefined,
      findBundle,
      isFresh: () => isFresh,
      log: pino({ level: "silent" }),
      onReplaced: () => undefined,
    }),
  );
});

afterAll(async () => {
  await resources.disposeAsync();
});

function authorize(instance: Instance): ReturnType<Node["authorize"]> {
  const tokenDigest = digestToken("mcp", instance.token);
  if (tokenDigest === null) throw new Error("a token was minted");
  return node.authorize({ instanceId: instance.id, tokenDigest }, AbortSignal.timeout(5_000));
}

// oxlint-disable-next-line typescript/no-explicit-any -- the view of an instance, of which each test reads a part
async function view({ id }: Instance): Promise<any> {
  return (await query(product.api.url, "mcp.get", { id }, { token: user.token })).data;
}

async function waitUntilReady(instance: Instance): Promise<void> {
  await eventually(10_000, async () => (await view(instance)).state === "ready");
}

async function callsOf(instance: Instance): Promise<number> {
  return (await view(instance)).calls;
}

test("a token that is revoked while it is being checked is not trusted afterwards", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  await waitUntilReady(instance);
  const before = tokens.answered;
  const letAnswersGo = tokens.holdUp();
  const asked = authorize(instance);
  await eventually(2_000, async () => tokens.answered > before);
  await run(
    product.database.ownerUrl,
    "update instance_tokens set revoked_at = now() where instance_id = $1",
    [instance.id],
  );
  node.notice(instance.id);
  letAnswersGo();
  // It was live when the question was asked.
  expect(await asked).toMatchObject({ kind: "admitted" });
  expect(await authorize(instance)).toMatchObject({ kind: "refused", reason: "revoked" });
});

test("a token that was live is trusted without a question, until anything about its instance changes", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  await waitUntilReady(instance);
  expect(await authorize(instance)).toMatchObject({ kind: "admitted" });
  const before = tokens.answered;
  expect(await authorize(instance)).toMatchObject({ kind: "admitted" });
  expect(tokens.answered).toBe(before);
  node.notice(instance.id);
  expect(await authorize(instance)).toMatchObject({ kind: "admitted" });
  expect(tokens.answered).toBe(before + 1);
});

test("an instance that another node claimed is not served any more, and its process ends at once", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  await waitUntilReady(instance);
  const pid = pool.children().find((child) => child.id === instance.id)?.pid;
  // What a node finds that was paused for longer than its leases lasted.
  const other = { nodeId: randomUUID(), epoch: randomUUID() };
  await registerNode(db, other, { address: "http://127.0.0.1:2", isolation: {}, capacity: 100 });
  await run(
    product.database.ownerUrl,
    "update instances set node_id = $2, node_epoch = $3, fence = fence + 1, lease_until = now() + interval '10 seconds' where id = $1",
    [instance.id, other.nodeId, other.epoch],
  );
  expect(await authorize(instance)).toEqual({
    kind: "unavailable",
    retryAfterSeconds: 1,
    reason: "notHere",
  });
  await eventually(2_000, async () => !pool.children().some((child) => child.id === instance.id));
  await expect(readFile(`/proc/${pid}/cmdline`, "utf8")).rejects.toThrow("ENOENT");
  expect(await authorize(instance)).toMatchObject({ reason: "notHere" });
});

test("a tool's name that the database cannot hold spoils no counts", async () => {
  const [one, other] = await Promise.all([
    createInstance(product, user, { type: "plain" }),
    createInstance(product, user, { type: "plain" }),
  ]);
  const call = { httpMethod: "POST", method: "tools/call", status: 200, outcome: "ok" } as const;
  const size = { requestBytes: 1, responseBytes: 1, durationMs: 1 };
  for (const tool of ["\u0000", "\uD83D", `${"x".repeat(99)}😀`]) {
    node.count({ ...call, ...size, instanceId: one.id, tool });
  }
  node.count({ ...call, ...size, instanceId: other.id, tool: "echo" });
  await expect.poll(() => callsOf(one), { timeout: 3_000 }).toBe(3);
  await expect.poll(() => callsOf(other), { timeout: 3_000 }).toBe(1);
});

test("a question that the database does not answer is not waited for by whoever was live a moment ago", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  await waitUntilReady(instance);
  expect(await authorize(instance)).toMatchObject({ kind: "admitted" });
  const letAnswersGo = tokens.holdUp();
  isFresh = false;
  try {
    const askedAt = performance.now();
    expect(await authorize(instance)).toMatchObject({ kind: "admitted" });
    expect(performance.now() - askedAt).toBeLessThan(2_000);
  } finally {
    isFresh = true;
    letAnswersGo();
  }
});

test("a receipt tells which hosts its instance reached, however many names it made up, and adds up over time", async () => {
  const instance = await createInstance(product, user, { type: "plain" });
  const allowed = { host: "api.example.com", method: "GET", allowed: true, bytesOut: 10, bytesIn: 100 };
  const denied = { method: "GET", allowed: false, bytesOut: 0, bytesIn: 0 };
  const hostsOf = async () => {
    const receipt = await query(product.api.url, "mcp.receipt", { id: instance.id }, { token: user.token });
    return receipt.data.used.hosts;
  };
  for (let round = 0; round < 2; round += 1) {
    node.countEgress(instance.id, allowed);
    for (let index = 0; index < 150; index += 1) {
      node.countEgress(instance.id, { ...denied, host: `h${round}-${index}.example` });
    }
    await expect
      .poll(async () => (await hostsOf())[0], { timeout: 10_000 })
      .toEqual({
        host: "api.example.com",
        requests: round + 1,
        denied: 0,
        bytesOut: 10 * (round + 1),
        bytesIn: 100 * (round + 1),
      });
  }
  const hosts = await hostsOf();
  expect(hosts.length).toBeLessThanOrEqual(101);
  expect(hosts.reduce((sum: number, host: { denied: number }) => sum + host.denied, 0)).toBe(300);
});
