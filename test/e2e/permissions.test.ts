import { actingFor, type Principal, system } from "@minimcp/core";
import { appRouter, assertPermissions, createCaller } from "@minimcp/router";
import { initTRPC, TRPCError } from "@trpc/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openServices, type Services } from "../security/support/services.ts";
import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { openTokenForge } from "../security/support/token-forge.ts";
import { type Account, createAdmin, createUser, openSession } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { startProduct, type Product } from "../support/product.ts";
import { refusalOf } from "../support/subscribe.ts";

/**
 * Who gets in where: the whole policy, as it is published. `in` is past the wall; what happens then is the verb's
 * matter (it works on the caller's own things alone). A dead credential counts as none where a credential is needed.
 */
const policy = readPolicy(`
  procedure                 anonymous  user  auditor  admin  system
  auth.signUp               in         in    in       in     in
  auth.signIn               in         in    in       in     in
  auth.refresh              in         in    in       in     in
  auth.signOut              -          in    in       in     -
  auth.me                   -          in    in       in     -
  apiKey.create             -          in    -        in     -
  apiKey.list               -          in    -        in     -
  apiKey.get                -          in    -        in     -
  apiKey.delete             -          in    -        in     -
  mcp.types                 -          in    -        in     -
  mcp.create                -          in    -        in     -
  mcp.list                  -          in    -        in     -
  mcp.get                   -          in    -        in     -
  mcp.usage                 -          in    -        in     -
  mcp.receipt               -          in    -        in     -
  mcp.watch                 -          in    -        in     -
  mcp.watchAll              -          in    -        in     -
  mcp.logs                  -          in    -        in     -
  mcp.renew                 -          in    -        in     -
  mcp.revoke                -          in    -        in     -
  admin.users.list          -          -     -        in     in
  admin.invitations.create  -          -     -        in     in
  admin.instances.list      -          -     -        in     in
  admin.instances.terminate -          -     -        in     in
  admin.instances.usage     -          -     -        in     in
`);

type Column = "anonymous" | "user" | "auditor" | "admin" | "system";

function readPolicy(text: string): Record<string, Record<Column, boolean>> {
  const [head = [], ...rows] = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  return Object.fromEntries(
    rows.map(([path = "", ...cells]) => [
      path,
      Object.fromEntries(cells.map((cell, index) => [head[index + 1], cell === "in"])) as Record<
        Column,
        boolean
      >,
    ]),
  );
}

/** No procedure knows this field: whoever is past the wall is told so, and nothing is done. */
const probe = { probe: true };

const procedures: Record<string, unknown> = appRouter._def.procedures;
const paths = Object.keys(policy);

let product: Product;
let services: Services;
/** Bearers over the wire: their column in the table, and their token. */
const bearers: Record<string, { column: Column; token: string | undefined }> = {};
/** Credentials that were good once, and what their holder is told. */
const dead: Record<string, { token: string; reason: string }> = {};
let user: Account;
let admin: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  services = await openServices(product);
  admin = await createAdmin(product);
  user = await createUser(product, admin);
  const [other, auditor, suspended, signedOut] = await Promise.all([
    createUser(product, admin),
    createUser(product, admin, "auditor"),
    createUser(product, admin),
    createUser(product, admin),
  ]);
  Object.assign(bearers, {
    anonymous: { column: "anonymous", token: undefined },
    user: { column: "user", token: user.token },
    "other user": { column: "user", token: other.token },
    auditor: { column: "auditor", token: auditor.token },
    administrator: { column: "admin", token: admin.token },
    "user by session": { column: "user", token: await openSession(product, user) },
    "auditor by session": { column: "auditor", token: await openSession(product, auditor) },
    "administrator by session": { column: "admin", token: await openSession(product, admin) },
  });
  const [suspendedSession, signedOutSession] = await Promise.all([
    openSession(product, suspended),
    openSession(product, signedOut),
  ]);

  await run(product.database.ownerUrl, "update users set status = 'suspended' where id = $1", [suspended.id]);
  await mutate(product.api.url, "auth.signOut", undefined, { token: signedOut.token });
  await mutate(product.api.url, "auth.signOut", undefined, { token: signedOutSession });
  await eventually(1_500, async () => (await call("auth.me", signedOutSession)).status === 401);
  const forge = await openTokenForge(product);
  const issuedAt = Math.floor(Date.now() / 1000) - 960;
  const expired = await forge.sign({
    ...forge.claimsOf(user),
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + 900,
  });
  Object.assign(dead, {
    "suspended user": { token: suspended.token, reason: "auth.sessionEnded" },
    "signed-out session": { token: signedOut.token, reason: "auth.sessionEnded" },
    "suspended user's bearer": { token: suspendedSession, reason: "auth.sessionEnded" },
    "signed-out bearer": { token: signedOutSession, reason: "auth.sessionEnded" },
    "expired token": { token: expired, reason: "auth.tokenExpired" },
  });
});

afterAll(async () => {
  await services[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

function typeOf(path: string): string | undefined {
  return (procedures[path] as { _def: { type: string } } | undefined)?._def.type;
}

function call(path: string, token: string | undefined): Promise<CallAnswer> {
  const send = { query, mutation: mutate, subscription: refusalOf }[typeOf(path) ?? ""];
  if (send === undefined) throw new Error(`${path} is not a procedure`);
  return send(product.api.url, path, probe, { token });
}

describe("every procedure for every kind of caller", () => {
  test("is in the table, and the table has nothing else", () => {
    expect(paths.toSorted()).toEqual(Object.keys(procedures).toSorted());
  });

  test.each(paths)(
    "%s lets in whom the table says, and refuses the others for the right reason",
    async (path) => {
      const row = policy[path];
      for (const [name, { column, token }] of Object.entries(bearers)) {
        const { status, error } = await call(path, token);
        const expected = row?.[column]
          ? { status: 400, reason: "input.invalid" }
          : column === "anonymous"
            ? { status: 401, reason: "auth.signInRequired" }
            : { status: 403, reason: "permission.denied" };
        expect({ status, reason: error?.reason }, name).toEqual(expected);
        if (row?.[column])
          expect(error?.issues, name).toContainEqual({ path: ["probe"], message: "is not a field here" });
      }
      for (const [name, { token, reason }] of Object.entries(dead)) {
        const answer = await call(path, token);
        const expected = row?.anonymous ? { status: 400, reason: "input.invalid" } : { status: 401, reason };
        expect({ status: answer.status, reason: answer.error?.reason }, name).toEqual(expected);
      }
    },
  );

  test.each(paths)("%s does so for scripts in the same process too", async (path) => {
    const row = policy[path];
    const scripts: [string, Column, Principal][] = [
      ["the product itself", "system", system("test")],
      ["acting for a user", "user", actingFor({ id: user.id, role: "user" })],
      ["acting for an auditor", "auditor", actingFor({ id: user.id, role: "auditor" })],
      ["acting for an administrator", "admin", actingFor({ id: admin.id, role: "admin" })],
    ];
    for (const [name, column, principal] of scripts) {
      const error = await callAsScript(path, principal);
      const reason = (error.cause as { reason?: string } | undefined)?.reason;
      if (row?.[column])
        expect({ code: error.code, reason }, name).toEqual({ code: "BAD_REQUEST", reason: undefined });
      else if (column === "system")
        expect({ code: error.code, reason }, name).toEqual({
          code: "PRECONDITION_FAILED",
          reason: "permission.userRequired",
        });
      else
        expect({ code: error.code, reason }, name).toEqual({
          code: "FORBIDDEN",
          reason: "permission.denied",
        });
    }
    expect(services.defects).toEqual([]);
  });

  test("leaves one audit event for each refusal, and none for who was let in", async () => {
    const [{ count: before } = { count: 0 }] = await countDenials();
    let refused = 0;
    for (const path of paths) {
      for (const { token } of Object.values(bearers)) {
        if ((await call(path, token)).status === 403) refused += 1;
      }
    }
    const [{ count: after } = { count: 0 }] = await countDenials();
    expect(refused).toBeGreaterThan(10);
    expect(after - before).toBe(refused);
  });
});

async function callAsScript(path: string, principal: Principal): Promise<TRPCError> {
  const caller: unknown = createCaller(services.context, principal);
  const target = path.split(".").reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], caller);
  const outcome: unknown = await (target as (input: unknown) => Promise<unknown>)(probe).catch(
    (error: unknown) => error,
  );
  if (!(outcome instanceof TRPCError)) throw new Error(`${path} did not refuse the probe`);
  return outcome;
}

function countDenials(): Promise<{ count: number }[]> {
  return run(
    product.database.ownerUrl,
    "select count(*)::int as count from audit.events where result = 'denied'",
  );
}

describe("a procedure that names no permission", () => {
  // As somebody would write it who does not know of procedure().
  const t = initTRPC.meta<{ permission?: string }>().create();
  const bare = t.router({
    ok: t.procedure.meta({ permission: "public" }).query(() => 1),
    forgotten: t.procedure.query(() => 1),
    nested: t.router({ misspelt: t.procedure.meta({ permission: "mcp:raed:own" }).query(() => 1) }),
  });

  test("keeps the API from starting, by name, and so does one with a permission that is not in the table", () => {
    expect(() => assertPermissions(bare)).toThrow(/forgotten, nested\.misspelt\. Make them with procedure/);
    expect(() => assertPermissions(bare)).not.toThrow(/\bok\b/);
  });

  test("is not among the product's", () => {
    expect(() => assertPermissions(appRouter)).not.toThrow();
  });
});
