import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";

import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

// @boundaries-ignore What the broker's own tests have for an upstream.
import { openUpstream, type Upstream } from "../../packages/gateway/test/egress-harness.ts";
import { eventually } from "../security/support/eventually.ts";
import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import {
  addType,
  callTool,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  processesOf,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { makeRuntimeDirectory, type TestRuntime } from "../support/runtime-directory.ts";
import { searchFiles, searchMemory } from "../support/search-process.ts";
import { dump, findSecret, run } from "../support/sql.ts";

// A key travels from its owner to the upstream, and to nobody on the way: the child, which makes the call, has a socket.
const canary = "ghp_canary0123456789abcdefghijklmnopqrs";
const host = "api.github.test";

const hasNamespaces = existsSync("/usr/bin/bwrap");
const isRoot = process.geteuid?.() === 0;

let resources: AsyncDisposableStack;
let runtime: TestRuntime;
let upstream: Upstream;
let product: Product;
let owner: Account;
let apiKeyId: string;
const authorizations: (string | undefined)[] = [];
/** Everything that API and worker log, in all detail. */
let logged = "";
/** Resolves when the upstream's answer to a call of `/repos/slow` is not wanted any more. */
let slowCallCut: PromiseWithResolvers<void>;

beforeAll(async () => {
  resources = new AsyncDisposableStack();
  runtime = resources.use(await makeRuntimeDirectory());
  slowCallCut = Promise.withResolvers();
  upstream = resources.use(
    await openUpstream((request, response) => {
      authorizations.push(request.headers.authorization);
      if (request.url === "/repos/slow") response.once("close", () => slowCallCut.resolve());
      else response.end(`hello ${request.url}`);
    }),
  );
  const { port, certificateAuthority } = upstream;
  const log = pino({ level: "trace" }, { write: (line: string) => (logged += line) });
  product = resources.use(
    await startProduct({
      findBundle,
      log,
      loopbackUpstreams: { [host]: { port, certificateAuthority } },
      environment: { RUNTIME_DIRECTORY: runtime.path },
    }),
  );
  owner = await createAdmin(product);
  const egress = [{ host, port: 443, methods: ["GET"], pathPrefixes: ["/repos"] }];
  const credential = {
    provider: "github",
    requirement: "Any key of the tests.",
    inject: { scheme: "bearer", hosts: [host] },
    placeholder: null,
  };
  await addType(product, "own", { egress, credential });
  const placeholder = {
    form: { prefix: "ghp_", length: 40 },
    env: ["GITHUB_TOKEN"],
    files: [{ env: "GITHUB_FILE", path: "github.json", content: '{"token":"{{placeholder}}"}' }],
  };
  await addType(product, "foreign", { egress, credential: { ...credential, placeholder } });
  const key = { provider: "github", label: "work", secret: canary };
  apiKeyId = (await mutate(product.api.url, "apiKey.create", key, { token: owner.token })).data.id;
});

afterAll(() => resources.disposeAsync());

async function create(type: "own" | "foreign" = "own"): Promise<Instance> {
  return await createInstance(product, owner, { type, apiKeyId });
}

async function reach(instance: Instance, request: object): Promise<{ status: number; text: string }> {
  const answer = await callTool(instance, "reach", request);
  return ((await answer.json()) as { result: { status: number; text: string } }).result;
}

test("a server that holds nothing reaches its upstream with the key", async () => {
  const instance = await create();
  const seen = await (await callTool(instance, "look")).text();
  expect(seen).not.toContain("GITHUB_TOKEN");
  expect(seen).not.toContain(canary);
  authorizations.length = 0;
  expect(await reach(instance, { host, path: "/repos/a" })).toEqual({ status: 200, text: "hello /repos/a" });
  expect(authorizations).toEqual([`Bearer ${canary}`]);
  expect(findSecret(await dump(product.database.ownerUrl), canary)).toEqual([]);
});

test("a server that insists on a key has a placeholder, which becomes the key outside", async () => {
  const instance = await create("foreign");
  const seen = (await (await callTool(instance, "look")).json()) as { result: { environment: object } };
  expect(seen.result.environment).toMatchObject({
    GITHUB_TOKEN: expect.stringMatching(/^ghp_[0-9A-Za-z]{36}$/),
    GITHUB_FILE: expect.stringMatching(/github\.json$/),
  });
  expect(JSON.stringify(seen)).not.toContain(canary);
  authorizations.length = 0;
  expect((await reach(instance, { host, path: "/repos/b" })).status).toBe(200);
  expect(authorizations).toEqual([`Bearer ${canary}`]);
});

/** As whom a process runs that has not ended: a zombie has neither memory nor variables. */
async function uidOf(pid: number): Promise<string | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return /^State:\tZ/m.test(status) ? undefined : /^Uid:\t(\d+)/m.exec(status)?.[1];
}

/** All processes of an instance, those of its sandbox too. */
async function allProcessesOf({ id }: Instance): Promise<number[]> {
  const [first] = await processesOf(id);
  const own = await uidOf(first ?? 0);
  const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger);
  const uids = await Promise.all(pids.map(uidOf));
  return pids.filter((_, index) => uids[index] === own);
}

test.runIf(isRoot && hasNamespaces).each(["own", "foreign"] as const)(
  "while and after a server of the kind %s uses it, the key is in its upstream's request and nowhere else",
  async (type) => {
    const instance = await create(type);
    await callTool(instance, "say", { lines: ["a line of the instance's log"] });
    authorizations.length = 0;
    expect((await reach(instance, { host, path: "/repos/c" })).status).toBe(200);
    const calling = callTool(instance, "reach", { host, path: "/repos/slow" }).catch(() => undefined);
    await expect.poll(() => authorizations, { timeout: 10_000 }).toHaveLength(2);
    expect(new Set(authorizations)).toEqual(new Set([`Bearer ${canary}`]));

    const pids = await allProcessesOf(instance);
    expect(pids.length).toBeGreaterThan(1);
    // Each way of looking finds what is there.
    const [inside = 0] = await processesOf(instance.id);
    expect(await searchMemory(inside, instance.id)).not.toEqual([]);
    for (const pid of pids) {
      expect(await searchMemory(pid, canary), `memory of ${pid}`).toEqual([]);
      for (const file of ["environ", "cmdline"]) {
        expect(await readFile(`/proc/${pid}/${file}`, "latin1"), file).not.toContain(canary);
      }
      expect(await readFile(`/proc/${pid}/limits`, "utf8")).toMatch(/^Max core file size +0 +0/m);
    }
    for (const directory of ["app", "tmp", "run/mcp"]) {
      expect(await searchFiles(`/proc/${inside}/root/${directory}`, canary)).toEqual([]);
    }
    expect(await searchFiles(`/proc/${inside}/root/app`, "no such thing as a key")).toHaveLength(1);

    // A crash with all of it in use.
    for (const pid of await processesOf(instance.id)) process.kill(pid, "SIGSEGV");
    await calling;
    await expect.poll(() => processesOf(instance.id), { timeout: 10_000 }).not.toContain(inside);
    const left = await Promise.all([runtime.path, product.home, process.cwd()].map((path) => readdir(path)));
    expect(left.flat().filter((name) => /^core(?:\.\d+)?$/.test(name))).toEqual([]);
    await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: owner.token });

    expect(await searchFiles(runtime.path, canary)).toEqual([]);
    expect(await searchFiles(product.home, canary)).toEqual([]);
    const stored = await dump(product.database.ownerUrl);
    expect(findSecret(stored, canary)).toEqual([]);
    expect(findSecret(stored, "a line of the instance's log")).not.toEqual([]);
    expect(logged).toContain(instance.id);
    expect(logged).not.toContain(canary);
  },
  60_000,
);

/** Those of children and of brokers. */
async function sockets(): Promise<string[]> {
  const names = await readdir(`${runtime.path}/o`, { recursive: true });
  return names.filter((name) => /\.(?:sock|egress)$/.test(name));
}

test("LEASE-1: at its deadline an instance loses its way out: the call that is under way is cut, and the socket is gone", async () => {
  const before = await sockets();
  const instance = await create();
  slowCallCut = Promise.withResolvers();
  authorizations.length = 0;
  const calling = callTool(instance, "reach", { host, path: "/repos/slow" });
  await expect.poll(() => authorizations, { timeout: 10_000 }).toHaveLength(1);
  const own = (await sockets()).filter((socket) => !before.includes(socket));
  // Its child's, and its broker's.
  expect(own).toHaveLength(2);
  const deadline = performance.now() + 500;
  await moveDeadline(product, instance.id, 500);
  await slowCallCut.promise;
  expect(performance.now() - deadline).toBeLessThan(1_000);
  await eventually(
    deadline + 1_000 - performance.now(),
    async () => !(await sockets()).some((socket) => own.includes(socket)),
  );
  expect((await calling).status).toBe(503);
});

test("what the type does not admit is denied in words, and counted on the receipt", async () => {
  const instance = await create();
  const denied = await reach(instance, { host: "evil.example", path: "/repos" });
  expect(denied.status).toBe(403);
  expect(denied.text).toContain("egress.denied");
  expect((await reach(instance, { host, path: "/user" })).status).toBe(403);
  expect((await reach(instance, { host, path: "/repos/b" })).status).toBe(200);

  const { data } = await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: owner.token });
  expect(data.used.hosts).toContainEqual(expect.objectContaining({ host, requests: 1, denied: 1 }));
  expect(data.used.hosts).toContainEqual(
    expect.objectContaining({ host: "evil.example", requests: 0, denied: 1 }),
  );
});

test("a key that was damaged at rest ends its instance as failed, with what to do, and no other", async () => {
  const other = await create();
  const secret = "ghp_0123456789abcdefghijklmnop";
  const damaged = (
    await mutate(
      product.api.url,
      "apiKey.create",
      { provider: "github", label: "damaged", secret },
      { token: owner.token },
    )
  ).data.id;
  const instance = await createInstance(product, owner, { type: "own", apiKeyId: damaged });
  await run(
    product.database.ownerUrl,
    "update api_keys set sealed = set_byte(sealed, length(sealed) - 1, get_byte(sealed, length(sealed) - 1) # 1) where id = $1",
    [damaged],
  );
  await callTool(instance, "reach", { host, path: "/repos" });
  await expect
    .poll(
      async () => (await query(product.api.url, "mcp.get", { id: instance.id }, { token: owner.token })).data,
      {
        timeout: 15_000,
      },
    )
    .toMatchObject({ state: "failed", failure: expect.stringContaining("Store the key again") });
  expect((await reach(other, { host, path: "/repos/c" })).status).toBe(200);
});
