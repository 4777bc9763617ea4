import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser, password } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { addType } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { addIdleNode } from "./support/idle-node.ts";
import { dump, run } from "../support/sql.ts";

// The attack: whatever a caller can put into an input. A field that nobody reads could be one that somebody reads later
// (mass assignment); a number that is coerced, a name that becomes an environment variable, a text that ends up in a
// statement. Each is refused by name, or stored as the text it is; nothing of it ever answers 500.

let product: Product;
let user: Account;
let other: Account;
let admin: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  admin = await createAdmin(product);
  [user, other] = await Promise.all([createUser(product, admin), createUser(product, admin)]);
  await addIdleNode(product.database.ownerUrl);
  const declared = { description: "a text", argument: "--a" };
  await addType(product, "configurable", {
    config: { a: declared, note: declared, [`l${"o".repeat(49)}`]: declared },
  });
  await addType(product, "keyed", { provider: "github" });
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function create(input: object, token = user.token): Promise<CallAnswer> {
  return mutate(
    product.api.url,
    "mcp.create",
    { type: "everything", expirationMinutes: 5, ...input },
    { token },
  );
}

function createWith(config: Record<string, string>): Promise<CallAnswer> {
  return create({ type: "configurable", config });
}

async function storeKey(provider: string): Promise<string> {
  const input = { provider, label: `for ${provider}`, secret: "0123456789abcdef" };
  return (await mutate(product.api.url, "apiKey.create", input, { token: user.token })).data.id;
}

/** Sent as it is, past whatever an honest client would not let through. */
function sendRaw(path: string, body: string, token = user.token): Promise<CallAnswer> {
  return mutate(product.api.url, path, undefined, { token, body });
}

async function rowCounts(): Promise<Record<string, number>> {
  const stored = await dump(product.database.ownerUrl);
  // Refusals are audited; what they refused must not be anywhere else.
  return Object.fromEntries(
    [...stored].filter(([table]) => table !== "audit.events").map(([table, rows]) => [table, rows.length]),
  );
}

async function expectNothingStored(attempt: () => Promise<unknown>): Promise<void> {
  const before = await rowCounts();
  await attempt();
  expect(await rowCounts()).toEqual(before);
}

describe("a field that is not there", () => {
  const foreign = ["userId", "ownerId", "role", "id", "isAdmin", "createdAt"];

  test.each([
    ["apiKey.create", { provider: "github", label: "mine", secret: "ghp_0123456789abcdef" }],
    ["mcp.create", { type: "everything", expirationMinutes: 5 }],
    ["auth.signIn", { email: "ada@example.com", password }],
    ["auth.signUp", { email: "ada@example.com", password }],
    ["auth.signOut", {}],
  ])("is refused by %s by name, and nothing is stored", async (path, valid) => {
    await expectNothingStored(async () => {
      for (const field of foreign) {
        const answer = await mutate(
          product.api.url,
          path,
          { ...valid, [field]: other.id },
          { token: user.token },
        );
        expect(answer.status, field).toBe(400);
        expect(answer.error).toMatchObject({
          reason: "input.invalid",
          issues: [{ path: [field], message: "is not a field here" }],
        });
        expect(answer.text).not.toContain(other.id);
      }
    });
  });

  test.each(["auth.me", "apiKey.list", "mcp.types", "mcp.list", "apiKey.get", "mcp.get", "mcp.receipt"])(
    "is refused by the query %s, which does not read another user's things",
    async (path) => {
      const answer = await query(product.api.url, path, { userId: other.id }, { token: user.token });
      expect(answer.status).toBe(400);
      expect(answer.error?.issues).toContainEqual({ path: ["userId"], message: "is not a field here" });
    },
  );

  test("does not make an administrator of who signs up", async () => {
    const invitation = await mutate(product.api.url, "admin.invitations.create", {}, { token: admin.token });
    const input = { email: "eve@example.com", password, inviteCode: invitation.data.code };
    expect((await mutate(product.api.url, "auth.signUp", { ...input, role: "admin" })).status).toBe(400);
    const signedUp = await mutate(product.api.url, "auth.signUp", input);
    expect(signedUp.data.user.role).toBe("user");
  });
});

describe("a hostile shape", () => {
  const secret = '"provider":"github","label":"hostile","secret":"ghp_0123456789abcdef"';

  test.each([
    `{"json":{${secret},"__proto__":{"role":"admin"}}}`,
    `{"json":{${secret},"constructor":{"prototype":{"role":"admin"}}}}`,
    `{"json":{${secret},"label":{"a":[{"__proto__":1}]}}}`,
    `{"json":{${secret}},"meta":{"values":{"__proto__.role":["undefined"]},"v":1}}`,
    `{"json":{${secret},"x":0},"meta":{"referentialEqualities":{"x":["__proto__.role"]},"v":1}}`,
    `{"json":{${secret},"label":4000000000},"meta":{"values":{"label":[["typed-array","Float64Array"]]},"v":1}}`,
    `{"json":${"[".repeat(1000)}${"]".repeat(1000)}}`,
    `{"json":${'{"a":'.repeat(1000)}1${"}".repeat(1000)}}`,
    `{"json":{${secret}}`,
    "null",
    "[]",
    '"text"',
    "{",
    "\u0000",
  ])("is answered with 400 and stores nothing: %s", async (body) => {
    await expectNothingStored(async () => {
      const answer = await sendRaw("apiKey.create", body);
      expect(answer.status, answer.text).toBe(400);
      expect(answer.error?.reason).toBe("input.invalid");
    });
  });
});

describe("a lifetime", () => {
  test.each(["0", "-1", "1441", "1.5", '"5"', "null", "true", "[5]", "1e309", "-1e309", "1e21", "{}"])(
    "of %s is refused",
    async (minutes) => {
      const answer = await sendRaw(
        "mcp.create",
        `{"json":{"type":"everything","expirationMinutes":${minutes}}}`,
      );
      expect(answer.status, answer.text).toBe(400);
      expect(answer.error?.reason).toBe("input.invalid");
      expect(answer.error?.issues.at(-1)?.path).toEqual(["expirationMinutes"]);
    },
  );

  test("that is missing, or no number in superjson's words, is refused", async () => {
    const bodies = [
      '{"json":{"type":"everything"}}',
      '{"json":{"type":"everything","expirationMinutes":"NaN"},"meta":{"values":{"expirationMinutes":["number"]},"v":1}}',
      '{"json":{"type":"everything","expirationMinutes":"Infinity"},"meta":{"values":{"expirationMinutes":["number"]},"v":1}}',
      '{"json":{"type":"everything","expirationMinutes":"2030-01-01"},"meta":{"values":{"expirationMinutes":["Date"]},"v":1}}',
    ];
    for (const body of bodies) expect((await sendRaw("mcp.create", body)).status, body).toBe(400);
  });

  test.each([1, 1440])("of %d minutes is what the instance gets", async (minutes) => {
    const { data, status, text } = await create({ expirationMinutes: minutes });
    expect(status, text).toBe(200);
    const { createdAt, expiresAt } = data.instance;
    expect(expiresAt.getTime() - createdAt.getTime()).toBe(minutes * 60_000);
  });
});

describe("the configuration of an instance", () => {
  test("has at most ten keys", async () => {
    const eleven = Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`key_${index}`, "x"]));
    const answer = await createWith(eleven);
    expect(answer.status).toBe(400);
    expect(answer.error).toMatchObject({ issues: [{ path: ["config"], message: "has at most 10 keys" }] });
  });

  test.each(["A", "a-b", "a b", "1a", "_a", "", "é", "NODE_OPTIONS", "LD_PRELOAD", "PATH", "a".repeat(51)])(
    "has no key like %j",
    async (key) => {
      const answer = await createWith({ [key]: "x" });
      expect(answer.status).toBe(400);
      expect(answer.error).toMatchObject({ reason: "input.invalid", issues: [{ path: ["config", key] }] });
    },
  );

  test.each(["path", "node_options", "ld_preload", "home"])(
    "takes no key that the type does not declare: %s",
    async (key) => {
      const answer = await createWith({ [key]: "x" });
      expect(answer.status).toBe(400);
      expect(answer.error).toMatchObject({
        reason: "mcp.configNotAccepted",
        issues: [{ path: ["config", key] }],
      });
    },
  );

  test("has values of at most 1,000 characters, and none that is not a text", async () => {
    expect((await createWith({ a: "x".repeat(1000), [`l${"o".repeat(49)}`]: "" })).status).toBe(200);
    const tooLong = await createWith({ a: "x".repeat(1001) });
    expect(tooLong.status).toBe(400);
    expect(tooLong.text).not.toContain("xxx");
    for (const value of ["1", "null", "{}", '["x"]']) {
      const answer = await sendRaw(
        "mcp.create",
        `{"json":{"type":"configurable","expirationMinutes":5,"config":{"a":${value}}}}`,
      );
      expect(answer.status, value).toBe(400);
    }
  });
});

describe("the type of an instance", () => {
  test("must be in the catalogue", async () => {
    for (const type of ["nothing", "EVERYTHING", "everything'--", "../everything", "constructor"]) {
      const answer = await create({ type });
      expect(answer.status, type).toBe(400);
      expect(answer.error?.reason).toBe("mcp.typeUnknown");
    }
  });

  test("decides whether a key is needed, refused, or of the wrong provider", async () => {
    const [github, figma] = [await storeKey("github"), await storeKey("figma")];
    const refused = async (input: object) => {
      const { status, error } = await create(input);
      return { status, reason: error?.reason };
    };
    expect(await refused({ apiKeyId: github })).toEqual({ status: 400, reason: "mcp.keyNotAccepted" });
    expect(await refused({ type: "keyed" })).toEqual({ status: 412, reason: "mcp.keyRequired" });
    expect(await refused({ type: "keyed", apiKeyId: figma })).toEqual({
      status: 400,
      reason: "mcp.keyWrongProvider",
    });
    expect((await create({ type: "keyed", apiKeyId: github })).status).toBe(200);
    const foreign = await create({ type: "keyed", apiKeyId: github }, other.token);
    expect(foreign.error?.reason).toBe("apiKey.notFound");
  });

  test("that no longer parses in the catalogue is our fault and not the caller's", async () => {
    await run(
      product.database.ownerUrl,
      `insert into server_types (id, version, declaration) values ('damaged', '1', '{"canary":1}')`,
    );
    const answer = await create({ type: "damaged" });
    await run(product.database.ownerUrl, "delete from server_types where id = 'damaged'");
    expect(answer.status).toBe(500);
    expect(answer.error).toMatchObject({ reason: "server.internal", message: "internal error", issues: [] });
  });
});

describe("text that looks like something else", () => {
  const corpus = [
    "'; drop table users; --",
    '" or 1=1 --',
    "1; copy users to program 'id'",
    "$1 ${jndi:ldap://127.0.0.1/a} {{7*7}} %s %n",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "../../../../etc/passwd",
    "a\r\nSet-Cookie: x=1",
    "\u202Egnp.exe\u200B\uFEFF",
    "O'Brien; drop by later 😀",
    "\\x00 \\u0000 \\",
    "null",
    "=cmd|' /C calc'!A0",
  ];

  test.each(corpus)("is stored as it is and does nothing else: %j", async (text) => {
    const key = await mutate(
      product.api.url,
      "apiKey.create",
      { provider: "github", label: text, secret: `secret ${text} end` },
      { token: user.token },
    );
    expect(key.status, key.text).toBe(200);
    const read = await query(product.api.url, "apiKey.get", { id: key.data.id }, { token: user.token });
    expect(read.data.label).toBe(text.trim());

    const made = await create({ type: "configurable", label: text, config: { note: text } });
    expect(made.status, made.text).toBe(200);
    const got = await query(product.api.url, "mcp.get", { id: made.data.instance.id }, { token: user.token });
    expect(got.data).toMatchObject({ label: text.trim(), config: { note: text } });
  });

  test.each([...corpus, "\0", "\uD800"])(
    "in every other text field is refused or harmless: %j",
    async (text) => {
      const { token } = user;
      const answers = await Promise.all([
        mutate(product.api.url, "auth.signIn", { email: text, password: text }),
        mutate(product.api.url, "auth.signIn", { email: user.email, password: text }),
        mutate(product.api.url, "auth.signUp", { email: text, password: text, name: text, inviteCode: text }),
        mutate(product.api.url, "auth.refresh", { refreshToken: text }),
        mutate(
          product.api.url,
          "admin.invitations.create",
          { email: text, role: text },
          { token: admin.token },
        ),
        query(product.api.url, "admin.users.list", { cursor: text }, { token: admin.token }),
        query(product.api.url, "mcp.list", { cursor: text }, { token }),
        query(product.api.url, "mcp.get", { id: text }, { token }),
        query(product.api.url, "apiKey.get", { id: text }, { token }),
        create({ type: text }),
        create({ apiKeyId: text }),
        query(product.api.url, text, undefined, { token }),
        query(product.api.url, "auth.me", undefined, {
          headers: { authorization: `Bearer ${encodeURIComponent(text.toWellFormed())}` },
        }),
      ]);
      for (const answer of answers) {
        expect(answer.status, answer.text).toBeGreaterThanOrEqual(400);
        expect(answer.status, answer.text).toBeLessThan(500);
      }
    },
  );

  test("in a cursor is refused, whatever date it claims", async () => {
    for (const at of ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "-1", "infinity", "now()"]) {
      const cursor = Buffer.from(`${at}|${user.id}`).toString("base64url");
      const answer = await query(product.api.url, "mcp.list", { cursor }, { token: user.token });
      expect(answer.status, `${at} ${answer.text}`).toBeLessThan(500);
    }
  });
});

describe("an error", () => {
  test("carries its reason, the request's id and what to do, and nothing of the server's inside or the input's values", async () => {
    const answers = await Promise.all([
      create({ expirationMinutes: 77_777, canaryfield: "canaryvalue" }),
      mutate(product.api.url, "auth.signIn", { email: "canaryvalue@example.com", password: "canaryvalue" }),
      query(
        product.api.url,
        "mcp.get",
        { id: "00000000-0000-4000-8000-000000000000" },
        { token: user.token },
      ),
      query(product.api.url, "auth.me", undefined, { token: "canaryvalue" }),
      query(product.api.url, "no.such", undefined),
    ]);
    for (const { error, headers, text } of answers) {
      expect(error?.reason).toMatch(/^[a-z]+[A-Za-z]*\.[a-zA-Z]+$/);
      expect(error?.requestId).toBe(headers.get("x-request-id"));
      expect(text).not.toMatch(
        /canaryvalue|77777|stack|node_modules|\.ts\b|select |insert |postgres|drizzle|zod/i,
      );
    }
  });
});
