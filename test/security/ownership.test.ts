import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { addIdleNode } from "./support/idle-node.ts";
import { run } from "../support/sql.ts";

// The attack: somebody signs in honestly and then names things that belong to somebody else (broken object level
// authorization, the first of OWASP's list for APIs). They must not get at them, nor even learn that they exist; and
// whoever looks after the installation sees that somebody tried.

const secret = "ghp_canary0123456789abcdef";

let product: Product;
let url: string;
let ada: Account;
let bob: Account;
let admin: Account;
let auditor: Account;
let keyId: string;
let instanceId: string;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  url = product.api.url;
  admin = await createAdmin(product);
  [ada, bob, auditor] = await Promise.all([
    createUser(product, admin),
    createUser(product, admin),
    createUser(product, admin, "auditor"),
  ]);
  const key = await mutate(
    url,
    "apiKey.create",
    { provider: "github", label: "work", secret },
    { token: ada.token },
  );
  keyId = key.data.id;
  await addIdleNode(product.database.ownerUrl);
  const created = await mutate(
    url,
    "mcp.create",
    { type: "everything", expirationMinutes: 60, label: "Ada's" },
    { token: ada.token },
  );
  instanceId = created.data.instance.id;
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

/** What two answers can be told apart by, besides their ids and times. */
function visible({ status, text, headers, error }: CallAnswer, id: string): unknown {
  return {
    status,
    body: text.replaceAll(error?.requestId ?? "-", "REQUEST").replaceAll(id, "ID"),
    headers: [...headers].filter(([name]) => !["date", "x-request-id"].includes(name)),
  };
}

async function eventsOf(answer: CallAnswer): Promise<unknown[]> {
  return await run(
    product.database.ownerUrl,
    "select action, result, error_message, user_id from audit.events where request_id = $1",
    [answer.headers.get("x-request-id")],
  );
}

describe("another user", () => {
  const things = [
    { path: "apiKey.get", send: query, owned: () => keyId, reason: "apiKey.notFound" },
    { path: "apiKey.delete", send: mutate, owned: () => keyId, reason: "apiKey.notFound" },
    { path: "mcp.get", send: query, owned: () => instanceId, reason: "mcp.notFound" },
    { path: "mcp.receipt", send: query, owned: () => instanceId, reason: "mcp.notFound" },
    {
      path: "mcp.renew",
      send: mutate,
      owned: () => instanceId,
      reason: "mcp.notFound",
      more: { minutes: 90 },
    },
    { path: "mcp.revoke", send: mutate, owned: () => instanceId, reason: "mcp.notFound" },
  ];

  test.each(things)(
    "gets the same answer from $path for a thing of somebody else as for one that is not there",
    async ({ path, send, owned, reason, more }) => {
      const nowhere = randomUUID();
      for (const { token } of [bob, admin]) {
        const foreign = await send(url, path, { id: owned(), ...more }, { token });
        const missing = await send(url, path, { id: nowhere, ...more }, { token });
        expect(foreign.status).toBe(404);
        expect(foreign.error?.reason).toBe(reason);
        expect(visible(foreign, owned())).toEqual(visible(missing, nowhere));
      }
    },
  );

  test.each(things)(
    "leaves exactly one audit event by $path, with their name",
    async ({ path, send, owned, reason, more }) => {
      const answer = await send(url, path, { id: owned(), ...more }, { token: bob.token });
      expect(await eventsOf(answer)).toEqual([
        { action: path, result: "denied", error_message: reason, user_id: bob.id },
      ]);
    },
  );

  test("sees none of it in lists", async () => {
    const keys = await query(url, "apiKey.list", undefined, { token: bob.token });
    const instances = await query(url, "mcp.list", undefined, { token: bob.token });
    expect([keys.data.items, instances.data.items]).toEqual([[], []]);
  });

  test("has changed nothing: the owner still has both", async () => {
    const key = await query(url, "apiKey.get", { id: keyId }, { token: ada.token });
    const instance = await query(url, "mcp.get", { id: instanceId }, { token: ada.token });
    expect(key.data).toMatchObject({ label: "work", hint: "cdef" });
    expect(instance.data).toMatchObject({ label: "Ada's", state: "requested" });
  });

  test("cannot create an instance with a key of somebody else", async () => {
    const input = { type: "everything", expirationMinutes: 5, apiKeyId: keyId };
    expect((await mutate(url, "mcp.create", input, { token: bob.token })).status).toBe(400);
  });
});

describe("an administrator", () => {
  test("sees whose instance it is and how it is, and no token or key in it", async () => {
    const { data, text } = await query(url, "admin.instances.list", undefined, { token: admin.token });
    const [seen] = data.items;
    expect(Object.keys(seen).toSorted().join(" ")).toBe(
      "apiKeyId calls config createdAt endReason endedAt endpoint expiresAt failure id isolation label latestExpiresAt nodeId readyAt renewalsLeft state type userId",
    );
    expect(seen).toMatchObject({ id: instanceId, userId: ada.id });
    expect(text).not.toMatch(/mcp_[0-9A-Za-z]{49}|canary|sealed|password|hash/);
  });

  test("sees of a user what they are, and no credential", async () => {
    const { data, text } = await query(url, "admin.users.list", undefined, { token: admin.token });
    for (const user of data.items) {
      expect(Object.keys(user).toSorted()).toEqual(["createdAt", "email", "id", "name", "role", "status"]);
    }
    expect(text).not.toMatch(/argon2|mrt_|hash/);
  });

  test("may end an instance of anybody, which is recorded under their own name", async () => {
    const ended = await mutate(url, "admin.instances.terminate", { id: instanceId }, { token: admin.token });
    expect(ended.data).toMatchObject({ instanceId, state: "ended", endReason: "revoked", final: true });
    expect(await eventsOf(ended)).toEqual([
      { action: "admin.instances.terminate", result: "success", error_message: null, user_id: admin.id },
      { action: "instance.end", result: "success", error_message: null, user_id: admin.id },
    ]);
  });
});

test("whoever lacks the permission leaves exactly one audit event for each refusal", async () => {
  const attempts: [typeof query, string, Account][] = [
    [query, "admin.users.list", bob],
    [mutate, "admin.instances.terminate", bob],
    [mutate, "apiKey.create", auditor],
    [query, "mcp.list", auditor],
  ];
  for (const [send, path, { token, id }] of attempts) {
    const answer = await send(url, path, undefined, { token });
    expect(answer.status, path).toBe(403);
    expect(await eventsOf(answer)).toEqual([
      { action: path, result: "denied", error_message: "permission.denied", user_id: id },
    ]);
  }
});

test("nobody who is not signed in can fill the audit trail with refusals", async () => {
  for (const path of ["apiKey.list", "admin.users.list", "no.such"]) {
    expect(await eventsOf(await query(url, path))).toEqual([]);
  }
});
