import { randomUUID } from "node:crypto";

import type { RunningApi } from "@minimcp/api/start";
import { createInvitation, createSetUpInvitation, system } from "@minimcp/core";
import { openDatabase } from "@minimcp/db";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { type CallAnswer, mutate } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { run } from "../support/sql.ts";

// The attack: getting an account that nobody meant to give, or more of one. An invitation is good for one account, for
// its own address and for its time, and it alone decides the role.

let product: Product;
let open: RunningApi;
let closed: RunningApi;
let admin: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  admin = await createAdmin(product);
  open = await startAnotherApi(product, { SIGN_UP_POLICY: "open" });
  closed = await startAnotherApi(product, { SIGN_UP_POLICY: "closed" });
});

afterAll(async () => {
  await closed[Symbol.asyncDispose]();
  await open[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

function newAddress(): string {
  return `new-${randomUUID().slice(0, 8)}@example.com`;
}

async function invite(input: object = {}): Promise<{ id: string; code: string }> {
  return (await mutate(product.api.url, "admin.invitations.create", input, { token: admin.token })).data;
}

function signUp(input: object, apiUrl = product.api.url): Promise<CallAnswer> {
  return mutate(apiUrl, "auth.signUp", { email: newAddress(), password, ...input });
}

function countUsers(): Promise<unknown> {
  return run(product.database.ownerUrl, "select count(*)::int as count from users");
}

/** Makes a code as the installation itself does, for its first administrator or by an operator's script. */
async function makeCode({ database }: Product, purpose: "set-up" | "script" = "set-up"): Promise<string> {
  await using db = openDatabase({
    url: database.apiUrl,
    applicationName: "set up",
    maxConnections: 1,
  });
  const request = { id: randomUUID(), ipAddress: null, userAgent: null };
  const ctx = { db, principal: system("cli"), request };
  const created =
    purpose === "set-up"
      ? await createSetUpInvitation(ctx)
      : await createInvitation(ctx, { role: "admin", validHours: 1 });
  return created.code;
}

function voidedOf({ database }: Product): Promise<unknown[]> {
  return run(
    database.ownerUrl,
    `select resource_id from audit.events where action = 'admin.invitations.void' and result = 'success'`,
  );
}

async function expectRefused(answer: CallAnswer, reason: string): Promise<void> {
  expect(answer.status, answer.text).toBe(403);
  expect(answer.error?.reason).toBe(reason);
}

describe("by invitation", () => {
  test("gives an account with the role of the invitation, signed in", async () => {
    const { id, code } = await invite({ role: "auditor" });
    expect(code).toMatch(/^inv_[0-9A-Za-z]{49}$/);
    const { data, status } = await signUp({ inviteCode: code });
    expect(status).toBe(200);
    expect(data.user.role).toBe("auditor");
    expect(data.tokens.refreshToken).toMatch(/^mrt_[0-9A-Za-z]{49}$/);
    const [used] = await run(product.database.ownerUrl, "select used_by from invitations where id = $1", [
      id,
    ]);
    expect(used).toEqual({ used_by: data.user.id });
  });

  test("is refused without a code, with one that is unknown, mistyped or of another kind, and with one that is used, expired or for another address: always the same answer", async () => {
    const used = await invite();
    expect((await signUp({ inviteCode: used.code })).status).toBe(200);
    const expired = await invite();
    await run(product.database.ownerUrl, "update invitations set expires_at = now() where id = $1", [
      expired.id,
    ]);
    const foreign = await invite({ email: "somebody@example.com" });
    const before = await countUsers();
    const messages = new Set<string | undefined>();
    for (const code of [
      used.code,
      expired.code,
      foreign.code,
      `inv_${"A".repeat(49)}`,
      used.code.slice(0, -1),
      used.code.replace("inv_", "mrt_"),
      "",
      "' or true --",
    ]) {
      const answer = await signUp({ inviteCode: code });
      await expectRefused(answer, "auth.invitationInvalid");
      messages.add(answer.error?.message);
    }
    expect(messages.size).toBe(1);
    await expectRefused(await signUp({}), "auth.invitationInvalid");
    expect(await countUsers()).toEqual(before);
  });

  test("for one address works for that address, however it is written", async () => {
    const email = newAddress();
    const { code } = await invite({ email });
    const { status, data } = await signUp({ email: email.toUpperCase(), inviteCode: code });
    expect(status).toBe(200);
    expect(data.user.email).toBe(email);
  });

  test("lets one of five win that use it at once, and makes one account", async () => {
    const { code } = await invite();
    const before = (await countUsers()) as { count: number }[];
    const answers = await Promise.all(Array.from({ length: 5 }, () => signUp({ inviteCode: code })));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 403)).toHaveLength(4);
    expect(await countUsers()).toEqual([{ count: (before[0]?.count ?? 0) + 1 }]);
  });

  test("is not used up by an attempt that fails", async () => {
    const { code } = await invite();
    const taken = await signUp({ email: admin.email, inviteCode: code });
    expect(taken.status).toBe(409);
    expect(taken.error?.reason).toBe("auth.emailTaken");
    expect((await signUp({ inviteCode: code, password: "too short" })).status).toBe(400);
    expect((await signUp({ inviteCode: code })).status).toBe(200);
  });

  test("cannot be lengthened beyond 30 days, or given a role that is none", async () => {
    for (const input of [{ validHours: 0 }, { validHours: 721 }, { role: "owner" }, { role: "system" }]) {
      const answer = await mutate(product.api.url, "admin.invitations.create", input, { token: admin.token });
      expect(answer.status, JSON.stringify(input)).toBe(400);
    }
  });
});

describe("where anybody may", () => {
  test("gives the role of a user and no more", async () => {
    const { data } = await signUp({}, open.url);
    expect(data.user.role).toBe("user");
  });

  test.each([
    ["a".repeat(14), 400],
    ["a".repeat(15), 200],
    ["a".repeat(64), 200],
    ["a".repeat(1025), 400],
  ])("a password is as long as it has to be: %s", async (chosen, status) => {
    const answer = await signUp({ password: chosen }, open.url);
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain(chosen);
  });

  test("two at once with one address make one account", async () => {
    const email = newAddress();
    const answers = await Promise.all([signUp({ email }, open.url), signUp({ email }, open.url)]);
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, 409]);
  });

  test("an address cannot be taken twice in different letters", async () => {
    expect((await signUp({ email: admin.email.toUpperCase() }, open.url)).error?.reason).toBe(
      "auth.emailTaken",
    );
  });

  test("a code still has to be good, and still gives its role", async () => {
    await expectRefused(
      await signUp({ inviteCode: `inv_${"A".repeat(49)}` }, open.url),
      "auth.invitationInvalid",
    );
    const { code } = await invite({ role: "auditor" });
    expect((await signUp({ inviteCode: code }, open.url)).data.user.role).toBe("auditor");
  });
});

describe("where nobody may", () => {
  test("is refused with and without an invitation, which stays good", async () => {
    const { code } = await invite();
    await expectRefused(await signUp({}, closed.url), "auth.signUpClosed");
    await expectRefused(await signUp({ inviteCode: code }, closed.url), "auth.signUpClosed");
    expect((await signUp({ inviteCode: code })).status).toBe(200);
  });
});

describe("before anybody has an account", () => {
  let empty: Product;
  let api: RunningApi;

  beforeAll(async () => {
    empty = await startProduct({ worker: false });
    api = await startAnotherApi(empty, { SIGN_UP_POLICY: "closed" });
  });

  afterAll(async () => {
    await api[Symbol.asyncDispose]();
    await empty[Symbol.asyncDispose]();
  });

  test("nobody gets in without the newest set-up code, and that makes one administrator whatever the policy", async () => {
    const older = await makeCode(empty);
    const newest = await makeCode(empty);
    expect(await voidedOf(empty)).toHaveLength(1);
    await expectRefused(await signUp({}, api.url), "auth.signUpClosed");
    await expectRefused(await signUp({ inviteCode: older }, api.url), "auth.invitationInvalid");
    const answers = await Promise.all([1, 2].map(() => signUp({ inviteCode: newest }, api.url)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 403]);
    expect(answers.find(({ status }) => status === 200)?.data.user.role).toBe("admin");
    await expectRefused(await signUp({ inviteCode: newest }, api.url), "auth.signUpClosed");
  });

  test("a set-up code is void once an administrator was created without it, also where anybody may have an account", async () => {
    await using another = await startProduct({ worker: false, environment: { SIGN_UP_POLICY: "open" } });
    const code = await makeCode(another);
    const ofScript = await makeCode(another, "script");
    await createAdmin(another);
    await expectRefused(await signUp({ inviteCode: code }, another.api.url), "auth.invitationInvalid");
    expect(await voidedOf(another)).toHaveLength(1);
    // What an operator handed out to a colleague is none.
    expect((await signUp({ inviteCode: ofScript }, another.api.url)).data.user.role).toBe("admin");
  });
});
