import { randomUUID } from "node:crypto";

import { actingFor, system } from "@minimcp/core";
import { createCaller } from "@minimcp/router";
import { TRPCError } from "@trpc/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openServices, type Services } from "../security/support/services.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let services: Services;
let ada: Account;
let bob: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  const admin = await createAdmin(product);
  [ada, bob] = await Promise.all([createUser(product, admin), createUser(product, admin)]);
  services = await openServices(product);
});

afterAll(async () => {
  await services[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

function callerFor(principal: Parameters<typeof createCaller>[1], requestId: string = randomUUID()) {
  const request = { id: requestId, ipAddress: null, userAgent: "a script" };
  return createCaller({ ...services.context, request }, principal);
}

function asAda(requestId?: string) {
  return callerFor(actingFor({ id: ada.id, role: "user" }), requestId);
}

function asProduct() {
  return callerFor(system("job"));
}

async function refusalOf(attempt: Promise<unknown>): Promise<{ code: string; reason: unknown }> {
  const error: unknown = await attempt.catch((thrown: unknown) => thrown);
  if (!(error instanceof TRPCError)) throw new Error("it was not refused");
  return { code: error.code, reason: (error.cause as { reason?: unknown } | undefined)?.reason };
}

describe("a script that acts for a user", () => {
  test("does what the user could do over the network, to the same things", async () => {
    const key = await asAda().apiKey.create({
      provider: "github",
      label: "by script",
      secret: "ghp_0123456789abcdef",
    });
    const seen = await query(product.api.url, "apiKey.get", { id: key.id }, { token: ada.token });
    expect(seen.data).toEqual(key);
    expect((await asAda().mcp.list()).items).toEqual([]);
    expect(await asAda().auth.me()).toMatchObject({ user: { id: ada.id, email: ada.email }, session: null });
  });

  test("reaches nothing of another user", async () => {
    const theirs = await mutate(
      product.api.url,
      "apiKey.create",
      { provider: "github", label: "Bob's", secret: "ghp_0123456789abcdef" },
      { token: bob.token },
    );
    const refused = await refusalOf(asAda().apiKey.get({ id: theirs.data.id }));
    expect(refused).toEqual({ code: "NOT_FOUND", reason: "apiKey.notFound" });
  });

  test("may no more than the role it acts with", async () => {
    expect(await refusalOf(asAda().admin.users.list())).toEqual({
      code: "FORBIDDEN",
      reason: "permission.denied",
    });
  });

  test("has its input checked like everybody's", async () => {
    const valid = { type: "everything", expirationMinutes: 5 };
    for (const input of [
      { ...valid, expirationMinutes: 0 },
      { ...valid, expirationMinutes: "5" },
      { ...valid, userId: bob.id },
      JSON.parse('{"type":"everything","expirationMinutes":5,"__proto__":{"a":1}}'),
      { ...valid, label: "\0" },
    ]) {
      expect((await refusalOf(asAda().mcp.create(input as never))).code, JSON.stringify(input)).toBe(
        "BAD_REQUEST",
      );
    }
    expect(await run(product.database.ownerUrl, "select 1 from instances")).toEqual([]);
  });

  test("leaves the same audit events: what it did, what failed and what was denied, under the user's name", async () => {
    const [done, failed, denied] = [randomUUID(), randomUUID(), randomUUID()];
    const input = { provider: "github", label: randomUUID(), secret: "ghp_0123456789abcdef" } as const;
    await asAda(done).apiKey.create(input);
    await refusalOf(asAda(failed).apiKey.create(input));
    await refusalOf(asAda(denied).admin.users.list());
    const events = await run(
      product.database.ownerUrl,
      `select action, result, error_message, user_id, user_agent from audit.events
       where request_id = any($1) order by "timestamp"`,
      [[done, failed, denied]],
    );
    const by = { user_id: ada.id, user_agent: "a script" };
    expect(events).toEqual([
      { action: "apiKey.create", result: "success", error_message: null, ...by },
      { action: "apiKey.create", result: "failure", error_message: "apiKey.labelTaken", ...by },
      { action: "admin.users.list", result: "denied", error_message: "permission.denied", ...by },
    ]);
  });

  test("has nothing to sign out of, and that is no error", async () => {
    expect(await asAda().auth.signOut()).toEqual({});
    expect((await query(product.api.url, "auth.me", undefined, { token: ada.token })).status).toBe(200);
  });

  test("for somebody who is gone is told so", async () => {
    const nobody = callerFor(actingFor({ id: randomUUID(), role: "user" }));
    expect(await refusalOf(nobody.auth.me())).toEqual({ code: "NOT_FOUND", reason: "user.notFound" });
  });
});

describe("the product itself", () => {
  test("sees every user's things where a procedure is about all of them", async () => {
    const { items } = await asProduct().admin.users.list();
    expect(items.map((user) => user.id)).toEqual(expect.arrayContaining([ada.id, bob.id]));
  });

  test("invites, which is recorded as nobody's doing", async () => {
    const requestId = randomUUID();
    const { id } = await callerFor(system("job"), requestId).admin.invitations.create({});
    expect(
      await run(
        product.database.ownerUrl,
        "select action, resource_id, user_id from audit.events where request_id = $1",
        [requestId],
      ),
    ).toEqual([{ action: "admin.invitations.create", resource_id: id, user_id: null }]);
  });

  test("has no things of its own, and is told to say for whom it acts", async () => {
    const refusals = await Promise.all([
      refusalOf(asProduct().apiKey.list()),
      refusalOf(asProduct().mcp.create({ type: "everything", expirationMinutes: 5 })),
      refusalOf(asProduct().auth.me()),
      refusalOf(asProduct().auth.signOut()),
    ]);
    for (const refused of refusals) {
      expect(refused).toEqual({ code: "PRECONDITION_FAILED", reason: "permission.userRequired" });
    }
  });
});
