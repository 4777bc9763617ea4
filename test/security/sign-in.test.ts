import type { RunningApi } from "@minimcp/api/start";
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser, password } from "../support/accounts.ts";
import { type CallAnswer, mutate } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { dump, findSecret, run } from "../support/sql.ts";

// The attack: finding out who has an account, guessing a password, or taking the service down with guesses.

let product: Product;
/** With one place to hash in and one to wait. */
let narrow: RunningApi;
let admin: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  admin = await createAdmin(product);
  narrow = await startAnotherApi(product, {}, { passwords: { passes: 10, concurrency: 1, maxWaiting: 1 } });
});

afterAll(async () => {
  await narrow[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

function signIn(email: string, typed: string, apiUrl = product.api.url): Promise<CallAnswer> {
  return mutate(apiUrl, "auth.signIn", { email, password: typed });
}

test("an unknown account, a wrong password, a suspended and a deleted account get the same answer", async () => {
  const [suspended, deleted] = [await createUser(product, admin), await createUser(product, admin)];
  await run(product.database.ownerUrl, "update users set status = 'suspended' where id = $1", [suspended.id]);
  await run(product.database.ownerUrl, "update users set deleted_at = now() where id = $1", [deleted.id]);
  const answers = await Promise.all([
    signIn("nobody@example.com", password),
    signIn(admin.email, "a wrong password"),
    signIn(suspended.email, password),
    signIn(deleted.email, password),
  ]);
  const seen = answers.map(({ status, text, headers, error }) => ({
    status,
    body: text.replaceAll(error?.requestId ?? "-", ""),
    headers: [...headers].filter(([name]) => !["x-request-id", "date"].includes(name)),
  }));
  expect(seen[0]).toMatchObject({ status: 401 });
  expect(answers[0]?.error?.reason).toBe("auth.badCredentials");
  for (const other of seen.slice(1)) expect(other).toEqual(seen[0]);
});

test("two passwords that are equal in their first 72 bytes are two passwords", async () => {
  const invitation = await mutate(product.api.url, "admin.invitations.create", {}, { token: admin.token });
  const email = "long@example.com";
  const long = "x".repeat(72);
  await mutate(product.api.url, "auth.signUp", {
    email,
    password: `${long}right`,
    inviteCode: invitation.data.code,
  });
  expect((await signIn(email, `${long}wrong`)).status).toBe(401);
  expect((await signIn(email, long)).status).toBe(401);
  expect((await signIn(email, `${long}right`)).status).toBe(200);
});

test("the database holds an argon2id hash with its parameters, and the password nowhere", async () => {
  const stored = await dump(product.database.ownerUrl);
  const hashes = await run<{ password_hash: string }>(
    product.database.ownerUrl,
    "select password_hash from credentials",
  );
  for (const { password_hash: hash } of hashes) expect(hash).toMatch(/^\$argon2id\$v=19\$m=\d+,t=\d+,p=1\$/);
  expect(findSecret(stored, password)).toEqual([]);
  expect(findSecret(stored, admin.refreshToken)).toEqual([]);
});

test("a failed sign-in is in the audit trail, without what was typed", async () => {
  const answer = await signIn(admin.email, "canary of a wrong password");
  const events = await run(
    product.database.ownerUrl,
    "select action, result, error_message from audit.events where request_id = $1",
    [answer.error?.requestId],
  );
  expect(events).toEqual([{ action: "auth.signIn", result: "denied", error_message: "auth.badCredentials" }]);
  expect(findSecret(await dump(product.database.ownerUrl), "canary of a wrong password")).toEqual([]);
});

test("twelve sign-ins at once where two have room: the others are told when to come back, and afterwards all is well", async () => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => signIn("nobody@example.com", "wrong", narrow.url)),
  );
  const busy = answers.filter((answer) => answer.status === 503);
  expect(busy.length).toBeGreaterThanOrEqual(6);
  for (const { error, headers } of busy) {
    expect(error?.reason).toBe("auth.busy");
    expect(headers.get("retry-after")).toBe("5");
  }
  expect(answers.filter((answer) => answer.status === 401).length).toBe(12 - busy.length);
  expect((await signIn(admin.email, password, narrow.url)).status).toBe(200);
});

test("a password of a megabyte is not hashed", async () => {
  expect((await signIn(admin.email, "x".repeat(1024 * 1024))).status).toBe(413);
  expect((await signIn(admin.email, "x".repeat(1025))).status).toBe(400);
});
