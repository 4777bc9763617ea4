import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { createMiniMcpClient, isReason, memoryStore, type MiniMcpClient } from "@minimcp/client";
import {
  buildDatabaseUrl,
  type EmbeddedPostgres,
  migrate,
  parseDatabaseUrl,
  startEmbeddedPostgres,
} from "@minimcp/db";
import { afterAll, beforeAll, expect, test } from "vitest";

import { createAdmin, password } from "../support/accounts.ts";
import { type Deployment, makeDeployment, type RunningProcess } from "../support/deployment.ts";

/*
 * API, worker and PostgreSQL die by SIGKILL under open streams of the SDK.
 */

let resources: AsyncDisposableStack;
let home: string;
let server: EmbeddedPostgres;
let deployment: Deployment;
let api: RunningProcess;
let worker: RunningProcess;
let client: MiniMcpClient;

beforeAll(async () => {
  resources = new AsyncDisposableStack();
  home = await mkdtemp("/tmp/minimcp-streams-");
  resources.defer(() => rm(home, { recursive: true, force: true }));
  await startDatabase();
  resources.defer(() => server.stop());
  const passwords = { api: randomBytes(24).toString("hex"), worker: randomBytes(24).toString("hex") };
  const ownerUrl = server.ownerUrl();
  await migrate({
    ownerUrl,
    roles: { api: { password: passwords.api }, worker: { password: passwords.worker } },
  });
  const address = parseDatabaseUrl(ownerUrl);
  const database = {
    ownerUrl,
    apiUrl: buildDatabaseUrl({ ...address, user: "minimcp_api", password: passwords.api }),
    workerUrl: buildDatabaseUrl({ ...address, user: "minimcp_worker", password: passwords.worker }),
  };
  deployment = resources.use(await makeDeployment(database));
  [worker, api] = await Promise.all([deployment.startWorker(), deployment.startApi()]);
  const { email } = await createAdmin({ api, database });
  client = createMiniMcpClient({ url: api.url, store: memoryStore() });
  await client.auth.signIn.mutate({ email, password });
});

afterAll(async () => {
  await resources.disposeAsync();
});

async function startDatabase(): Promise<void> {
  server = await startEmbeddedPostgres({ home, closedHomeRoot: join(home, "closed") });
}

async function killDatabase(): Promise<void> {
  const [pid = ""] = (await readFile(join(server.dataDirectory, "postmaster.pid"), "utf8")).split("\n");
  process.kill(Number(pid), "SIGKILL");
  await server.exited;
}

async function kill(victim: RunningProcess): Promise<void> {
  victim.kill("SIGKILL");
  expect(await victim.exited).toBe("SIGKILL");
}

interface Follower<T> {
  seen: T[];
  ended: Promise<unknown>;
}

function follow<T>(values: AsyncIterable<T>): Follower<T> {
  const seen: T[] = [];
  const ended = (async () => {
    for await (const value of values) seen.push(value);
  })().catch((error: unknown) => error);
  return { seen, ended };
}

test("streams go on by themselves after API, worker and PostgreSQL have died, one after the other, and miss and repeat nothing", async () => {
  const over = new AbortController();
  const { instance } = await client.mcp.create.mutate({ type: "everything", expirationMinutes: 5 });
  const ready = await client.waitUntilReady(instance);
  const views = follow(client.watch(instance, { signal: over.signal }));
  const lists = follow(client.watchAll({ signal: over.signal }));
  const lines = follow(client.logs(instance, { signal: over.signal }));
  await expect.poll(() => [views.seen.length, lists.seen.length]).toEqual([1, 1]);
  // The server says something about itself when it starts.
  await expect.poll(() => lines.seen.length, { timeout: 5_000 }).toBeGreaterThan(0);
  const linesOfOneStart = lines.seen.length;

  await kill(api);
  api = await deployment.startApi();

  await kill(worker);
  worker = await deployment.startWorker();
  await expect.poll(() => views.seen.at(-1)?.state, { timeout: 15_000 }).toBe("ready");
  await expect.poll(() => lines.seen.length, { timeout: 15_000 }).toBe(2 * linesOfOneStart);
  expect(views.seen.some(({ state }) => state === "starting")).toBe(true);

  await killDatabase();
  await startDatabase();
  const second = await client.mcp.create.mutate({
    type: "everything",
    expirationMinutes: 5,
    idempotencyKey: "while it comes back",
  });
  await expect.poll(() => lists.seen.at(-1)?.length, { timeout: 15_000 }).toBe(2);
  expect(lists.seen.at(-1)?.[0]?.id).toBe(second.instance.id);

  await client.mcp.revoke.mutate({ id: instance.id });
  expect(await views.ended).toBeUndefined();
  expect(await lines.ended).toBeUndefined();
  expect(views.seen.at(-1)).toMatchObject({ state: "ended", endpoint: ready.endpoint });
  const ids = lines.seen.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(lines.seen.every(({ droppedBytes }) => droppedBytes === 0)).toBe(true);
  over.abort();
  expect(isReason(await lists.ended, "client.aborted")).toBe(true);
}, 90_000);

test("whoever has signed out is told so by an open stream, and so is who never could connect", async () => {
  const other = createMiniMcpClient({ url: api.url, store: memoryStore() });
  const { items } = await client.mcp.list.query();
  expect(items.length).toBeGreaterThan(0);
  const stream = follow(other.watchAll());
  expect(isReason(await stream.ended, "auth.signInRequired")).toBe(true);
  const nowhere = createMiniMcpClient({ url: "http://127.0.0.1:9", token: "x" });
  expect(isReason(await follow(nowhere.watchAll()).ended, "client.network")).toBe(true);
});
