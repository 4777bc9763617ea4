import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";

import { type Account, createAdmin, createUser, password } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { eventually } from "./support/eventually.ts";
import { connected, dump, run } from "../support/sql.ts";

// The fault, or the attack: what a control needs is taken away. Without its database or its audit trail the API does
// not guess and does not go on unrecorded: it refuses with 503 and a time to come back, changes nothing, tells nothing
// of its insides, and works again when what it needs is back.

let product: Product;
let user: Account;
let admin: Account;
let url: string;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  url = product.api.url;
  admin = await createAdmin(product);
  user = await createUser(product, admin);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

async function ready(): Promise<number> {
  return (await fetch(`${url}/readyz`)).status;
}

function keyInput() {
  return { provider: "github", label: randomUUID(), secret: "ghp_0123456789abcdef" };
}

function expectComeBack(answer: Awaited<ReturnType<typeof query>>): void {
  expect(answer.status, answer.text).toBe(503);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(answer.error).toMatchObject({
    reason: "server.unavailable",
    message: "The server cannot reach its database at the moment. Try again shortly.",
  });
  expect(answer.text).not.toMatch(/postgres|ECONN|SQLSTATE|connection|pool|test_/i);
}

describe("while the database is away", () => {
  const { maintenanceUrl } = inject("testCluster");
  let name: string;

  async function letIn(allowed: boolean): Promise<void> {
    await run(maintenanceUrl, `alter database ${name} with allow_connections ${allowed}`);
  }

  beforeAll(async () => {
    const [row] = await run<{ name: string }>(product.database.ownerUrl, "select current_database() as name");
    name = row?.name ?? "";
    // Of the same role, so that it may end the API's connections.
    await connected(product.database.apiUrl, async (client) => {
      await letIn(false);
      await client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename = current_user and pid <> pg_backend_pid()",
        [name],
      );
    });
  });

  test("the API is alive and says that it is not ready", async () => {
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await ready()).toBe(503);
  });

  test("queries, mutations and sign-ins are told to come back, and no driver's message reaches anybody", async () => {
    const { token } = user;
    expectComeBack(await query(url, "apiKey.list", undefined, { token }));
    expectComeBack(await mutate(url, "apiKey.create", keyInput(), { token }));
    expectComeBack(await mutate(url, "auth.signIn", { email: user.email, password }));
    expectComeBack(await mutate(url, "auth.refresh", { refreshToken: user.refreshToken }));
  });

  test("and when it is back, everything works again without a restart", async () => {
    await letIn(true);
    await eventually(5_000, async () => (await ready()) === 200);
    const answer = await mutate(url, "apiKey.create", keyInput(), { token: user.token });
    expect(answer.status, answer.text).toBe(200);
  });
});

test("when every connection is taken, the eleventh call is told to come back after one wait, and the ten are served", async () => {
  await connected(product.database.ownerUrl, async (owner) => {
    await owner.query("begin");
    await owner.query("lock table users in access exclusive mode");
    const served = Array.from({ length: 10 }, () => query(url, "auth.me", undefined, { token: admin.token }));
    await eventually(2_000, async () => {
      const waiting = await run(
        product.database.apiUrl,
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      );
      return waiting.length === 10;
    });
    const startedAt = performance.now();
    expectComeBack(await mutate(url, "apiKey.create", keyInput(), { token: user.token }));
    // It waits five seconds for a connection, and not again for one to record that it got none.
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    await owner.query("rollback");
    for (const answer of await Promise.all(served)) expect(answer.status).toBe(200);
  });
  expect(await ready()).toBe(200);
});

describe("while the audit trail cannot be written", () => {
  const append = "function audit.append(text, text, text, jsonb, jsonb, text, text, inet, text, text)";
  let key: { id: string };

  beforeAll(async () => {
    key = (await mutate(url, "apiKey.create", keyInput(), { token: user.token })).data;
    await run(product.database.ownerUrl, `revoke execute on ${append} from minimcp_api`);
  });

  afterAll(async () => {
    await run(product.database.ownerUrl, `grant execute on ${append} to minimcp_api`);
  });

  test("no change is made, by whomever, and each says so", async () => {
    const before = await dump(product.database.ownerUrl);
    const attempts: [string, object | undefined, string | undefined][] = [
      ["apiKey.create", keyInput(), user.token],
      ["apiKey.delete", { id: key.id }, user.token],
      ["auth.signOut", undefined, user.token],
      ["auth.signIn", { email: user.email, password }, undefined],
      ["admin.invitations.create", {}, admin.token],
    ];
    for (const [path, input, token] of attempts) {
      const answer = await mutate(url, path, input, { token });
      expect(answer.status, `${path} ${answer.text}`).toBe(503);
      expect(answer.error).toMatchObject({
        reason: "audit.unavailable",
        message: "The audit trail cannot be written, so nothing was changed. Try again later.",
      });
    }
    expect(await dump(product.database.ownerUrl)).toEqual(before);
  });

  test("reading goes on, and what is denied stays denied", async () => {
    expect((await query(url, "apiKey.get", { id: key.id }, { token: user.token })).status).toBe(200);
    expect((await query(url, "admin.users.list", undefined, { token: user.token })).status).toBe(403);
    expect((await query(url, "mcp.get", { id: key.id }, { token: user.token })).status).toBe(404);
  });
});

test("a change that was rolled back is in the audit trail as a failure, with its reason and its request's id", async () => {
  const input = keyInput();
  expect((await mutate(url, "apiKey.create", input, { token: user.token })).status).toBe(200);
  const again = await mutate(url, "apiKey.create", input, { token: user.token });
  expect(again.status).toBe(409);
  const noWorker = await mutate(
    url,
    "mcp.create",
    { type: "everything", expirationMinutes: 5 },
    { token: user.token },
  );
  expect(noWorker.error?.reason).toBe("mcp.noWorker");
  expect(noWorker.headers.get("retry-after")).toBe("5");
  for (const [answer, action, reason] of [
    [again, "apiKey.create", "apiKey.labelTaken"],
    [noWorker, "mcp.create", "mcp.noWorker"],
  ] as const) {
    const events = await run(
      product.database.ownerUrl,
      "select action, result, error_message, user_id from audit.events where request_id = $1",
      [answer.error?.requestId],
    );
    expect(events).toEqual([{ action, result: "failure", error_message: reason, user_id: user.id }]);
  }
});
