import type { RunningApi } from "@minimcp/api/start";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { send } from "./support/raw-http.ts";
import { run } from "../support/sql.ts";

// The attack: a page of another origin, a name that was rebound to this machine, a proxy header that anybody can write,
// a request that is no request. What the API says of itself must not depend on who asks or on whether it is refused.

let product: Product;
let behindProxy: RunningApi;
let admin: Account;
let url: string;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  url = product.api.url;
  admin = await createAdmin(product);
  behindProxy = await startAnotherApi(product, { TRUSTED_PROXIES: "127.0.0.1, 10.0.0.0/8" });
});

afterAll(async () => {
  await behindProxy[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

const json = { "content-type": "application/json" };
const batchOfEleven = `/trpc/${Array.from({ length: 11 }, () => "auth.me").join(",")}?batch=1`;

/** Every kind of answer there is, by its request and status. */
const answers: [string, string, Parameters<typeof send>[2], number][] = [
  ["health", "/healthz", {}, 200],
  ["readiness", "/readyz", {}, 200],
  ["a call without a sign-in", "/trpc/auth.me", {}, 401],
  ["an invalid input", "/trpc/auth.signIn", { method: "POST", headers: json, body: "{}" }, 400],
  ["a body that is no JSON", "/trpc/auth.signIn", { method: "POST", headers: json, body: "{" }, 400],
  ["an unknown procedure", "/trpc/auth.nothing", {}, 404],
  ["a procedure without a name", "/trpc/", {}, 404],
  ["an unknown path", "/nothing", {}, 404],
  ["an unknown path of a file", "/.env", {}, 404],
  ["a path that cannot be read", "//", {}, 400],
  ["a path that cannot be decoded", "/trpc/%E0%A4%A", {}, 400],
  ["a foreign host", "/trpc/auth.me", { headers: { host: "rebound.example" } }, 403],
  ["a mutation by GET", "/trpc/auth.signOut", {}, 405],
  ["a query by POST", "/trpc/auth.me", { method: "POST", headers: json, body: "{}" }, 405],
  ["another method", "/trpc/auth.me", { method: "PATCH", headers: json }, 405],
  ["HEAD", "/trpc/auth.me", { method: "HEAD" }, 204],
  [
    "a preflight",
    "/trpc/auth.signIn",
    { method: "OPTIONS", headers: { origin: "https://evil.example" } },
    415,
  ],
  ["a batch of eleven", batchOfEleven, {}, 400],
  [
    "text",
    "/trpc/auth.signIn",
    { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" },
    415,
  ],
  [
    "a form",
    "/trpc/auth.signIn",
    { method: "POST", headers: { "content-type": "multipart/form-data; boundary=x" }, body: "--x--" },
    415,
  ],
  [
    "bytes",
    "/trpc/auth.signOut",
    { method: "POST", headers: { "content-type": "application/octet-stream" }, body: "x" },
    415,
  ],
  ["nothing said of the content", "/trpc/auth.signIn", { method: "POST", body: "{}" }, 415],
  [
    "101 KB",
    "/trpc/auth.signIn",
    { method: "POST", headers: json, body: `{"json":"${"x".repeat(101 * 1024)}"}` },
    413,
  ],
  [
    "101 KB in chunks",
    "/trpc/auth.signIn",
    {
      method: "POST",
      headers: { ...json, "transfer-encoding": "chunked" },
      body: `{"json":"${"x".repeat(101 * 1024)}"}`,
    },
    413,
  ],
];

describe.each(answers)("the answer to %s", (_name, path, options, status) => {
  test(`is ${status}, with every security header, for no other origin, and is not kept`, async () => {
    const answer = await send(url, path, options);
    expect(answer.status, answer.body).toBe(status);
    expect(answer.headers).toMatchObject({
      "content-security-policy": "default-src 'none';frame-ancestors 'none'",
      "strict-transport-security": "max-age=31536000; includeSubDomains",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "permissions-policy": "geolocation=(), microphone=(), camera=()",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "cache-control": "no-store",
    });
    expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    const told = Object.keys(answer.headers);
    expect(told.filter((name) => /^(server|x-powered-by|access-control-.*|set-cookie)$/.test(name))).toEqual(
      [],
    );
    if (answer.body !== "") expect(answer.headers["content-type"]).toMatch(/^application\/(problem\+)?json$/);
    expect(answer.body).not.toMatch(/\bat .*\.ts|node_modules|stack/);
  });
});

test("a batch of ten is answered call by call", async () => {
  const path = batchOfEleven.replace("auth.me,", "");
  const { status, body } = await send(url, path, { headers: { authorization: `Bearer ${admin.token}` } });
  expect(status).toBe(200);
  expect(JSON.parse(body)).toHaveLength(10);
});

test("a body of 100 KB is read, and refused for what it says", async () => {
  const body = `{"json":"${"x".repeat(100 * 1024 - 11)}"}`;
  expect(body).toHaveLength(100 * 1024);
  expect((await send(url, "/trpc/auth.signIn", { method: "POST", headers: json, body })).status).toBe(400);
});

test("a header of 17 KB is refused, and the server goes on", async () => {
  expect((await send(url, "/healthz", { headers: { "x-long": "x".repeat(17 * 1024) } })).status).toBe(431);
  expect((await send(url, "/healthz")).status).toBe(200);
});

describe("the Host header", () => {
  test.each(["127.0.0.1", "localhost", "LOCALHOST"])("may name this server as %s", async (name) => {
    const { port } = new URL(url);
    expect((await send(url, "/readyz", { headers: { host: `${name}:${port}` } })).status).toBe(200);
  });

  test.each([
    "evil.example",
    "127.0.0.1",
    "127.0.0.1.evil.example:PORT",
    "localhost:1",
    "localhost:PORT.evil.example",
    "user@localhost:PORT",
  ])("may not be %s", async (name) => {
    const host = name.replace("PORT", new URL(url).port);
    for (const path of ["/readyz", "/trpc/auth.me", "/"]) {
      expect((await send(url, path, { headers: { host } })).status, path).toBe(403);
    }
  });
});

describe("the request's id", () => {
  test.each(["0123456789abcdef", "trace_1-2-3-4", "a".repeat(64)])(
    "is the caller's where it is plain: %s",
    async (id) => {
      const answer = await query(url, "auth.me", undefined, { headers: { "x-request-id": id } });
      expect(answer.headers.get("x-request-id")).toBe(id);
      expect(answer.error?.requestId).toBe(id);
    },
  );

  test.each(["short", "a".repeat(65), "with space in", "<script>", "${jndi:ldap://x}", "a,b,c,d,e,f"])(
    "is a new one where it is not: %s",
    async (id) => {
      const answer = await query(url, "auth.me", undefined, { headers: { "x-request-id": id } });
      expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
      expect(answer.text).not.toContain(id);
    },
  );
});

/** Signs in with these headers and reads what the audit trail says of it. */
async function auditedAddress(apiUrl: string, headers: Record<string, string>) {
  const id = crypto.randomUUID();
  const { status } = await mutate(
    apiUrl,
    "auth.signIn",
    { email: admin.email, password },
    { headers: { ...headers, "x-request-id": id } },
  );
  const events = await run<{ address: string | null; user_id: string }>(
    product.database.ownerUrl,
    "select host(ip_address) as address, user_id from audit.events where request_id = $1",
    [id],
  );
  expect(status).toBe(200);
  expect(events).toHaveLength(1);
  return events[0];
}

describe("where a call came from", () => {
  test("is the connection's other end, whatever headers claim", async () => {
    const claims = {
      "x-forwarded-for": "203.0.113.9",
      "x-real-ip": "203.0.113.9",
      forwarded: "for=203.0.113.9",
      "x-user-id": "00000000-0000-4000-8000-000000000000",
    };
    expect(await auditedAddress(url, claims)).toEqual({ address: "127.0.0.1", user_id: admin.id });
  });

  test.each([
    ["203.0.113.9", "203.0.113.9"],
    ["203.0.113.9, 10.1.2.3", "203.0.113.9"],
    ["6.6.6.6, 203.0.113.9", "203.0.113.9"],
    ["2001:db8::7", "2001:db8::7"],
    ["fe80::7%eth0", "fe80::7"],
    ["unknown", null],
    ["203.0.113.9:4711", null],
    ["'; drop table users; --", null],
  ])("is, behind a trusted proxy, what that says: %s", async (forwarded, address) => {
    expect((await auditedAddress(behindProxy.url, { "x-forwarded-for": forwarded }))?.address).toBe(address);
  });
});
