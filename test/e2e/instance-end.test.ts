import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";

import { mintToken } from "@minimcp/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import {
  addType,
  callTool,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { makeRuntimeDirectory, type TestRuntime } from "../support/runtime-directory.ts";

/*
 * A lease, not a token: whatever ends an instance ends its processes, its socket, its open streams and its token
 * together, and leaves one receipt and one audit event.
 */

let runtime: TestRuntime;
let product: Product;
let admin: Account;
let user: Account;

beforeAll(async () => {
  runtime = await makeRuntimeDirectory();
  product = await startProduct({ findBundle, environment: { RUNTIME_DIRECTORY: runtime.path } });
  admin = await createAdmin(product);
  user = await createUser(product, admin);
  await addType(product, "plain");
  await addType(product, "keyed", { provider: "github" });
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
});

/** A call whose answer streams until somebody cuts it. Resolves once it has begun. */
async function openStream(instance: Instance): Promise<Stream> {
  const isReference = (await typeOf(instance)) === "everything";
  const answer = isReference
    ? await send(instance, "tools/call", {
        name: "trigger-long-running-operation",
        arguments: { duration: 600, steps: 6_000 },
        _meta: { progressToken: 1 },
      })
    : await callTool(instance, "stream");
  return await follow(answer);
}

interface Stream {
  /** When it was cut. */
  ended: Promise<number>;
}

/** Resolves once a stream has begun. */
async function follow(answer: Response): Promise<Stream> {
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
  const reader = answer.body?.getReader();
  const first = await reader?.read();
  expect(first?.done).toBe(false);
  const ended = (async () => {
    for (;;) {
      const chunk = await reader?.read().catch(() => undefined);
      if (chunk === undefined || chunk.done) return performance.now();
    }
  })();
  return { ended };
}

/** What a client of the 2025 era opens for whatever a server says by itself. */
async function openEvents({ endpoint, token }: Instance): Promise<Stream> {
  const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream" };
  return await follow(await fetch(endpoint, { headers }));
}

/** The same of a client of 2026-07-28. */
async function openSubscription(instance: Instance): Promise<Stream> {
  const envelope = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "subscriber", version: "1.0.0" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const method = "subscriptions/listen";
  const params = { notifications: { toolsListChanged: true }, _meta: envelope };
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": method };
  return await follow(await send(instance, method, params, { headers }));
}

async function typeOf({ id }: Instance): Promise<string> {
  return (await query(product.api.url, "mcp.get", { id }, { token: user.token })).data.type;
}

async function endEvents({ id }: Instance): Promise<number> {
  const [row] = await run<{ count: number }>(
    product.database.ownerUrl,
    "select count(*)::int as count from audit.events where action = 'instance.end' and resource_id = $1",
    [id],
  );
  return row?.count ?? 0;
}

async function expectNothingLeft(instance: Instance, endReason: string): Promise<void> {
  const after = await send(instance, "ping");
  expect(after.status).toBe(401);
  expect(after.headers.get("www-authenticate")).toMatch(
    /^Bearer realm="MiniMCP", error="invalid_token", error_description="[^"]+"$/,
  );
  const problem = (await after.json()) as { reason: string; at: string; detail: string };
  expect(problem.reason).toBe(endReason);
  expect(Math.abs(Date.parse(problem.at) - Date.now())).toBeLessThan(10_000);
  expect(problem.detail).toContain(problem.at);
  const receipt = await query(product.api.url, "mcp.receipt", { id: instance.id }, { token: user.token });
  expect(receipt.data).toMatchObject({ final: true, endReason, incomplete: false });
  expect(await endEvents(instance)).toBe(1);
}

/** Everything of the instances is gone a second after their deadline, and it was theirs until then. */
async function expectEndAtDeadline(
  instances: readonly Instance[],
  streams: readonly Stream[],
): Promise<void> {
  const deadline = performance.now() + 1_000;
  for (const instance of instances) await moveDeadline(product, instance.id, 1_000);
  for (const { ended } of streams) {
    const cutMs = (await ended) - deadline;
    expect(cutMs).toBeGreaterThan(-50);
    expect(cutMs).toBeLessThan(1_000);
  }
  await eventually(
    deadline + 1_000 - performance.now(),
    async () =>
      (await Promise.all(instances.map(({ id }) => processesOf(id)))).flat().length === 0 &&
      (await runtime.sockets()).length === 0,
  );
  for (const instance of instances) {
    await eventually(1_000, async () => (await endEvents(instance)) === 1);
    await expectNothingLeft(instance, "expired");
  }
}

describe("at its deadline, an instance", () => {
  test.each(["plain", "everything"])(
    "LEASE-1: of the type %s, be it idle or with open streams, is gone within a second, whole",
    async (type) => {
      const [busy, idle] = await Promise.all([
        createInstance(product, user, { type }),
        createInstance(product, user, { type }),
      ]);
      const streams = await Promise.all([openStream(busy), openStream(busy)]);
      expect((await send(idle, "ping")).status).toBe(200);
      for (const { id } of [busy, idle]) expect(await processesOf(id)).not.toEqual([]);
      expect(await runtime.sockets()).toHaveLength(2);
      await expectEndAtDeadline([busy, idle], streams);
    },
  );

  test.each([
    ["a GET stream", "plain", openEvents],
    ["subscriptions/listen", "everything", openSubscription],
  ] as const)(
    "LEASE-2: that %s has kept in use from its first moment on is gone within a second, whole",
    async (_, type, open) => {
      const instance = await createInstance(product, user, { type });
      await expectEndAtDeadline([instance], [await open(instance)]);
    },
  );

  test("answers nothing after it, however many calls are on their way", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    expect((await send(instance, "ping")).status).toBe(200);
    const deadline = performance.now() + 400;
    await moveDeadline(product, instance.id, 400);
    const late: number[] = [];
    let refused = 0;
    while (performance.now() < deadline + 600) {
      const sentAt = performance.now();
      const answer = await send(instance, "ping");
      await answer.arrayBuffer();
      if (answer.status === 200) late.push(sentAt - deadline);
      else refused += 1;
    }
    expect(refused).toBeGreaterThan(3);
    // The deadline was moved by the database's clock, a statement's time after ours was read.
    expect(Math.max(...late)).toBeLessThan(100);
  });
});

describe("before its deadline, an instance with an open stream ends", () => {
  test("when its owner revokes it, and its receipt is final in the answer", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    const { ended } = await openStream(instance);
    const revokedAt = performance.now();
    const revoked = await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: user.token });
    expect(revoked.data).toMatchObject({ final: true, endReason: "revoked", calls: 1, failures: 1 });
    expect((await ended) - revokedAt).toBeLessThan(1_000);
    expect(await processesOf(instance.id)).toEqual([]);
    await expectNothingLeft(instance, "revoked");
    const again = await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: user.token });
    expect(again.data).toEqual(revoked.data);
    expect(await endEvents(instance)).toBe(1);
  });

  test("when an administrator terminates it", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    const { ended } = await openStream(instance);
    const terminated = await mutate(
      product.api.url,
      "admin.instances.terminate",
      { id: instance.id },
      { token: admin.token },
    );
    expect(terminated.data).toMatchObject({ final: true, endReason: "revoked" });
    await ended;
    expect(await processesOf(instance.id)).toEqual([]);
    await expectNothingLeft(instance, "revoked");
  });

  test("when its API key is deleted, and only then", async () => {
    const keys = await Promise.all(
      ["kept", "deleted"].map((label) =>
        mutate(
          product.api.url,
          "apiKey.create",
          { provider: "github", label, secret: "ghp_not-a-real-key-of-anybody" },
          { token: user.token },
        ),
      ),
    );
    const [kept, doomed] = await Promise.all(
      keys.map((key) => createInstance(product, user, { type: "keyed", apiKeyId: key.data.id })),
    );
    if (kept === undefined || doomed === undefined) throw new Error("two instances were made");
    const { ended } = await openStream(doomed);
    expect((await send(kept, "ping")).status).toBe(200);
    const deleted = await mutate(
      product.api.url,
      "apiKey.delete",
      { id: keys[1]?.data.id },
      { token: user.token },
    );
    expect(deleted.status, deleted.text).toBe(200);
    await ended;
    await eventually(1_500, async () => (await endEvents(doomed)) === 1);
    expect(await processesOf(doomed.id)).toEqual([]);
    await expectNothingLeft(doomed, "keyDeleted");
    expect((await send(kept, "ping")).status).toBe(200);
  });
});

describe("a token", () => {
  test("of one instance opens no other, and an altered one looks like one that never was", async () => {
    const [one, other] = await Promise.all([
      createInstance(product, user, { type: "plain" }),
      createInstance(product, user, { type: "plain" }),
    ]);
    await Promise.all([one, other].map((instance) => send(instance, "ping")));
    const altered = `${one.token.slice(0, -1)}${one.token.endsWith("a") ? "b" : "a"}`;
    const tokens = {
      ofAnother: other.token,
      altered,
      invented: mintToken("mcp").token,
      nonsense: "nonsense",
    };
    const answers = await Promise.all(
      Object.values(tokens).map(async (token) => {
        const answer = await send({ endpoint: one.endpoint, token }, "ping");
        const headers = [...answer.headers].filter(([name]) => !["date", "keep-alive"].includes(name));
        return { status: answer.status, headers, body: await answer.text() };
      }),
    );
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ status: 401 });
    expect(JSON.parse(answers[0]?.body ?? "")).toMatchObject({ reason: "unknown" });
  });

  test("opens no instance that does not exist, and none that was made up", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    for (const id of ["00000000-0000-4000-8000-000000000000", "not-a-uuid"]) {
      const endpoint = instance.endpoint.replace(instance.id, id);
      const refused = await send({ endpoint, token: instance.token }, "ping");
      expect(refused.status, id).toBe(401);
      expect(await refused.json(), id).toMatchObject({ reason: "unknown" });
    }
  });

  test("is not taken from a URL, and not from a foreign page or under a foreign name", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    const inQuery = await send(
      { endpoint: `${instance.endpoint}?access_token=${instance.token}`, token: instance.token },
      "ping",
    );
    expect(inQuery.status).toBe(401);
    const foreign = await send(instance, "ping", {}, { headers: { origin: "https://evil.example" } });
    expect(foreign.status).toBe(403);
    expect(await foreign.json()).toMatchObject({ reason: "originNotAllowed" });
    expect(await statusUnderName(instance, "evil.example")).toBe(403);
    expect((await send(instance, "ping")).status).toBe(200);
  });

  test("that was replaced is dead in a second while it is in use, and its successor works", async () => {
    const idempotencyKey = "the same create again";
    const first = await createInstance(product, user, { type: "plain", idempotencyKey });
    await Promise.all(Array.from({ length: 4 }, () => send(first, "ping")));
    const over = new AbortController();
    // Without a pause, so that checks are under way at the very moment of the change.
    const pounding = Promise.all(
      Array.from({ length: 4 }, async () => {
        let lastServedAt = 0;
        while (!over.signal.aborted) {
          const sentAt = performance.now();
          const answer = await send(first, "ping");
          await answer.arrayBuffer();
          if (answer.status === 200) lastServedAt = sentAt;
        }
        return lastServedAt;
      }),
    );
    const second = await createInstance(product, user, { type: "plain", idempotencyKey });
    const replacedAt = performance.now();
    expect(second.id).toBe(first.id);
    expect((await send(second, "ping")).status).toBe(200);
    await eventually(1_000, async () => (await send(first, "ping")).status === 401);
    over.abort();
    for (const lastServedAt of await pounding) expect(lastServedAt - replacedAt).toBeLessThan(1_000);
    const refused = await send(first, "ping");
    expect(await refused.json()).toMatchObject({ reason: "revoked", at: expect.any(String) });
    expect((await send(second, "ping")).status).toBe(200);
  });
});

/** Fetch does not let a caller choose the name under which it asks. */
async function statusUnderName({ endpoint, token }: Instance, host: string): Promise<number | undefined> {
  const asked = request(endpoint, { method: "POST", headers: { host, authorization: `Bearer ${token}` } });
  asked.end("{}");
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  answer.resume();
  await once(answer, "close");
  return answer.statusCode;
}
