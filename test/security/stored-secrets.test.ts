import { randomUUID } from "node:crypto";

import type { RunningApi } from "@minimcp/api/start";
import { createVault, parseKeyring } from "@minimcp/core";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser, password as typedPassword } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { addType } from "../support/instances.ts";
import { type Product, startProduct, testMasterKey } from "../support/product.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { addIdleNode } from "./support/idle-node.ts";
import { dump, findSecret, run } from "../support/sql.ts";

// The attack: somebody holds a copy of the whole database, the whole log, or everything that the API ever answered.
// A secret that was entrusted to the product is in none of them.

let product: Product;
let api: RunningApi;
let admin: Account;
let ada: Account;
let logged = "";

beforeAll(async () => {
  product = await startProduct({ worker: false });
  api = await startAnotherApi(
    product,
    {},
    { log: pino({ level: "debug" }, { write: (line: string) => void (logged += line) }) },
  );
  admin = await createAdmin(product);
  ada = await createUser(product, admin);
  await addIdleNode(product.database.ownerUrl);
  await addType(product, "keyed", { provider: "github" });
});

afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

/** Everything that the API answers in these tests, besides what it must show once. */
const answered: string[] = [];

async function call(
  send: typeof query,
  path: string,
  input: unknown,
  token: string | undefined,
): Promise<CallAnswer> {
  const answer = await send(product.api.url, path, input, { token });
  answered.push(answer.text);
  return answer;
}

/** A token counts only at the address that issued it. */
async function signInAtLoggedApi({ email }: Account): Promise<string> {
  return (await mutate(api.url, "auth.signIn", { email, password: typedPassword })).data.tokens.accessToken;
}

function storeKey(token: string, secret: string, label: string = randomUUID()): Promise<CallAnswer> {
  return call(mutate, "apiKey.create", { provider: "github", label, secret }, token);
}

test("an API key is nowhere to be found after it was stored, used, refused and deleted", async () => {
  const canary = `ghp_canary${randomUUID().replaceAll("-", "")}`;
  const token = await signInAtLoggedApi(ada);
  const loud = async (path: string, input: unknown, options: Parameters<typeof mutate>[3] = {}) => {
    const answer = await mutate(api.url, path, input, { token, ...options });
    answered.push(answer.text);
    return answer;
  };
  const stored = await loud("apiKey.create", { provider: "github", label: "canary", secret: canary });
  expect(stored.status).toBe(200);
  await loud("apiKey.create", { provider: "github", label: "canary", secret: canary });
  await loud("apiKey.create", { provider: "nothing", label: "canary", secret: canary });
  await loud("apiKey.create", { provider: "github", secret: canary, unknown: canary });
  await loud("apiKey.create", undefined, { body: `{"json":{"secret":"${canary}"` });
  await loud("auth.signIn", { email: ada.email, password: canary });
  await loud("auth.refresh", { refreshToken: canary });
  await loud("apiKey.get", undefined, { token: canary });
  await query(api.url, `${canary.slice(0, 4)}.x`, { secret: canary }, { token });
  await call(query, "apiKey.list", undefined, ada.token);
  await call(query, "apiKey.get", { id: stored.data.id }, ada.token);
  await call(query, "admin.instances.list", undefined, admin.token);
  const created = await loud("mcp.create", { type: "keyed", expirationMinutes: 5, apiKeyId: stored.data.id });
  expect(created.status, created.text).toBe(200);
  expect(findSecret(await dump(product.database.ownerUrl), canary)).toEqual([]);
  await loud("apiKey.delete", { id: stored.data.id });
  expect(findSecret(await dump(product.database.ownerUrl), canary)).toEqual([]);
  expect(answered.join("\n")).not.toContain(canary);
  expect(logged).toContain("/trpc/apiKey.create");
  expect(logged).not.toContain(canary);
  expect(logged).not.toContain(token);
});

test("no token, code or password is in the database or the log as it was handed out", async () => {
  const token = await signInAtLoggedApi(admin);
  const invitation = await mutate(api.url, "admin.invitations.create", {}, { token });
  const password = `canary ${randomUUID()}`;
  const signedUp = await mutate(api.url, "auth.signUp", {
    email: "canary@example.com",
    password,
    inviteCode: invitation.data.code,
  });
  const { accessToken, refreshToken } = signedUp.data.tokens;
  const refreshed = await mutate(api.url, "auth.refresh", { refreshToken });
  const instance = await mutate(
    api.url,
    "mcp.create",
    { type: "everything", expirationMinutes: 5 },
    { token: accessToken },
  );
  const stored = await dump(product.database.ownerUrl);
  const secrets = [
    token,
    invitation.data.code,
    password,
    accessToken,
    refreshToken,
    refreshed.data.tokens.refreshToken,
    instance.data.accessToken,
    testMasterKey,
  ];
  for (const secret of secrets as string[]) {
    expect(findSecret(stored, secret)).toEqual([]);
    expect(logged).not.toContain(secret);
  }
  // An endpoint's token is shown when it is made, and never again.
  const seen = await query(api.url, "mcp.get", { id: instance.data.instance.id }, { token: accessToken });
  expect(seen.text).not.toContain(instance.data.accessToken);
});

test("what an owner sees of a key is its end and a fingerprint that is equal for equal secrets", async () => {
  const first = (await storeKey(ada.token, "ghp_0123456789abcdef")).data;
  const second = (await storeKey(ada.token, "ghp_0123456789abcdef")).data;
  const short = (await storeKey(ada.token, "tiny-key")).data;
  expect(first).toMatchObject({ hint: "cdef", liveInstances: 0, lastUsedAt: null });
  expect(Object.keys(first).toSorted().join(" ")).toBe(
    "createdAt fingerprint hint id label lastUsedAt liveInstances provider",
  );
  expect(second.fingerprint).toBe(first.fingerprint);
  expect(short.hint).toBe("");
  const bob = await createUser(product, admin);
  expect((await storeKey(bob.token, "ghp_0123456789abcdef")).data.fingerprint).not.toBe(first.fingerprint);
});

test.each([
  ["too short", "1234567", 400],
  ["too long", "x".repeat(8193), 400],
  ["with white space at an end", "ghp_0123456789 ", 400],
  ["as short as may be", "12345678", 200],
  ["as long as may be", "x".repeat(8192), 200],
])("a secret %s is answered with its rule", async (_what, secret, status) => {
  const answer = await storeKey(ada.token, secret);
  expect(answer.status).toBe(status);
  if (status === 400) expect(answer.text).not.toContain(secret);
});

describe("a label", () => {
  test("belongs to one key of one user, until that is deleted", async () => {
    const bob = await createUser(product, admin);
    const key = await storeKey(ada.token, "ghp_0123456789abcdef", "work");
    const again = await storeKey(ada.token, "ghp_0123456789abcdef", " work ");
    expect([again.status, again.error?.reason]).toEqual([409, "apiKey.labelTaken"]);
    expect(again.error?.issues).toEqual([{ path: ["label"], message: "is taken" }]);
    expect((await storeKey(bob.token, "ghp_0123456789abcdef", "work")).status).toBe(200);
    await call(mutate, "apiKey.delete", { id: key.data.id }, ada.token);
    expect((await storeKey(ada.token, "ghp_0123456789abcdef", "work")).status).toBe(200);
  });

  test("goes to one of five that ask for it at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => storeKey(ada.token, "ghp_0123456789abcdef", "contested")),
    );
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([
      200, 409, 409, 409, 409,
    ]);
  });
});

test("a user's first five keys at once agree on one data key, and a worker can open each", async () => {
  const eve = await createUser(product, admin);
  const secrets = Array.from({ length: 5 }, (_, index) => `ghp_secret_number_${index}`);
  const answers = await Promise.all(secrets.map((secret) => storeKey(eve.token, secret)));
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
  const [dataKey, ...more] = await run<{ id: string; user_id: string; wrapped: Buffer; kek_kid: string }>(
    product.database.workerUrl,
    "select id, user_id, wrapped, kek_kid from user_data_keys where user_id = $1",
    [eve.id],
  );
  if (dataKey === undefined) throw new Error("there is no data key");
  expect(more).toEqual([]);
  const vault = createVault(parseKeyring(testMasterKey));
  const opened = vault.unwrapDataKey({ ...dataKey, userId: dataKey.user_id, kekKid: dataKey.kek_kid });
  const sealed = await run<{ id: string; sealed: Buffer }>(
    product.database.workerUrl,
    "select id, sealed from api_keys where user_id = $1",
    [eve.id],
  );
  const read = sealed.map((row) => vault.openApiKey(opened, row.id, row.sealed).toString());
  expect(read.toSorted()).toEqual(secrets);
});

describe("deleting a key", () => {
  test("wipes its secret at once, ends every instance that uses it, and is recorded", async () => {
    const key = await storeKey(ada.token, "ghp_0123456789abcdef");
    const input = { type: "keyed", expirationMinutes: 60, apiKeyId: key.data.id };
    const [one, two] = [
      await call(mutate, "mcp.create", input, ada.token),
      await call(mutate, "mcp.create", input, ada.token),
    ];
    expect((await call(query, "apiKey.get", { id: key.data.id }, ada.token)).data.liveInstances).toBe(2);

    const deleted = await call(mutate, "apiKey.delete", { id: key.data.id }, ada.token);
    expect(deleted.data).toEqual({});
    const rows = await run(
      product.database.ownerUrl,
      "select sealed, deleted_at is not null as deleted from api_keys where id = $1",
      [key.data.id],
    );
    expect(rows).toEqual([{ sealed: null, deleted: true }]);
    for (const { data } of [one, two]) {
      const instance = await call(query, "mcp.get", { id: data.instance.id }, ada.token);
      expect(instance.data).toMatchObject({ state: "ended", endReason: "keyDeleted" });
    }
    const events = await run(
      product.database.ownerUrl,
      "select action, count(*)::int as count from audit.events where request_id = $1 group by 1 order by 1",
      [deleted.headers.get("x-request-id")],
    );
    expect(events).toEqual([
      { action: "apiKey.delete", count: 1 },
      { action: "apiKey.delete.instance", count: 2 },
      { action: "instance.end", count: 2 },
    ]);
  });

  test("makes it unknown: it cannot be read, used or deleted again", async () => {
    const key = await storeKey(ada.token, "ghp_0123456789abcdef");
    const { id } = key.data;
    await call(mutate, "apiKey.delete", { id }, ada.token);
    const input = { type: "keyed", expirationMinutes: 5, apiKeyId: id };
    const after = [
      await call(query, "apiKey.get", { id }, ada.token),
      await call(mutate, "apiKey.delete", { id }, ada.token),
      await call(mutate, "mcp.create", input, ada.token),
    ];
    for (const { status, error } of after) expect([status, error?.reason]).toEqual([404, "apiKey.notFound"]);
  });

  test("and creating an instance with it at once never leaves an instance alive without its key", async () => {
    for (let round = 0; round < 5; round += 1) {
      const { id } = (await storeKey(ada.token, "ghp_0123456789abcdef")).data;
      await Promise.all([
        call(mutate, "mcp.create", { type: "keyed", expirationMinutes: 5, apiKeyId: id }, ada.token),
        call(mutate, "apiKey.delete", { id }, ada.token),
      ]);
      const alive = await run(
        product.database.ownerUrl,
        "select 1 from instances where api_key_id = $1 and state not in ('ended', 'failed')",
        [id],
      );
      expect(alive).toEqual([]);
    }
  });
});

test("a damaged data key fails for its owner alone, with an error that says nothing, and nothing is stored", async () => {
  const mallory = await createUser(product, admin);
  await storeKey(mallory.token, "ghp_0123456789abcdef");
  await run(
    product.database.ownerUrl,
    "update user_data_keys set wrapped = set_byte(wrapped, 100, get_byte(wrapped, 100) # 1) where user_id = $1",
    [mallory.id],
  );
  const answer = await storeKey(mallory.token, "ghp_0123456789abcdef", "second");
  expect([answer.status, answer.error?.message]).toEqual([500, "internal error"]);
  expect((await call(query, "apiKey.list", undefined, mallory.token)).data.items).toHaveLength(1);
  expect((await storeKey(ada.token, "ghp_0123456789abcdef")).status).toBe(200);
});
