import { appRouter } from "@minimcp/router";
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { type Product, startProduct } from "../support/product.ts";
import { addIdleNode } from "./support/idle-node.ts";
import { send } from "./support/raw-http.ts";
import { run } from "../support/sql.ts";

// The attack: everything that nobody thought of. Whatever is sent, the API refuses or does it; it never answers that it
// broke, and it answers the next honest call.

let product: Product;
let admin: Account;
let user: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  admin = await createAdmin(product);
  user = await createUser(product, admin);
  await addIdleNode(product.database.ownerUrl);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

/** Mulberry32: the same seed gives the same requests, so that a failure can be looked at. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

// Without the one that would end the session that all others need.
const procedures = Object.keys(appRouter._def.procedures).filter((path) => path !== "auth.signOut");
const fields =
  "id type apiKeyId expirationMinutes label config idempotencyKey email password name inviteCode refreshToken provider secret limit cursor live role validHours __proto__ constructor toString length json meta".split(
    " ",
  );
const texts = [
  "",
  " ",
  "null",
  "-1",
  "1e999",
  "NaN",
  "[]",
  "{}",
  "\0",
  "\uD800",
  "😀",
  "\u202E",
  "'",
  "\\",
  "%00",
  "${x}",
  "../..",
  "\r\n",
  "ß".repeat(300),
  "x".repeat(1001),
  "2026-01-01T00:00:00Z",
  "ada@example.com",
  "00000000-0000-0000-0000-000000000000",
  Buffer.from("2026-01-01T00:00:00Z|00000000-0000-4000-8000-000000000000").toString("base64url"),
];

function createFuzzer(seed: number) {
  const random = createRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <T>(choices: readonly T[]): T => choices[below(choices.length)] as T;
  const chance = (share: number) => random() < share;

  function value(depth = 0): unknown {
    const kind = below(depth > 4 ? 5 : 7);
    if (kind === 0) return pick(texts);
    if (kind === 1) return pick([0, -0, 1, -1, 5, 1.5, 1440, 1441, 2 ** 31, 2 ** 53, 1e308, -1e308]);
    if (kind === 2) return pick([true, false, null]);
    if (kind === 3) return pick([user.id, admin.id, user.email, "four unrelated words together"]);
    if (kind === 4) return pick(["github", "everything", "user"]);
    if (kind === 5) return Array.from({ length: below(4) }, () => value(depth + 1));
    return record(depth + 1);
  }
  function record(depth = 0): object {
    const entries = Array.from({ length: below(6) }, () => [pick(fields), value(depth + 1)]);
    // defineProperty, as JSON text can: an assignment to __proto__ would set the prototype.
    const made = {};
    for (const [key, field] of entries) {
      Object.defineProperty(made, key as string, { value: field, enumerable: true, configurable: true });
    }
    return made;
  }
  function meta(): unknown {
    const path = () =>
      Array.from({ length: 1 + below(3) }, () => pick([...fields, "0", "1", "", "\\", "\\."])).join(".");
    const kind = () =>
      pick<unknown>([
        ["Date"],
        ["undefined"],
        ["number"],
        ["set"],
        ["map"],
        ["regexp"],
        [["custom", "x"]],
        "Date",
        5,
      ]);
    const values = Object.fromEntries(Array.from({ length: below(4) }, () => [path(), kind()]));
    return pick<unknown>([
      { values, v: 1 },
      { values },
      { referentialEqualities: { [path()]: [path()] }, v: 1 },
      [],
      "x",
    ]);
  }
  function body(): string {
    const envelope = chance(0.9)
      ? { json: chance(0.8) ? record() : value(), ...(chance(0.3) ? { meta: meta() } : {}) }
      : value();
    const text = JSON.stringify(chance(0.1) ? { 0: envelope, 1: envelope } : envelope);
    if (chance(0.9)) return text;
    const at = below(text.length);
    return pick([
      text.slice(0, at),
      `${text.slice(0, at)}${pick(["\0", ",", "}", "1e999"])}${text.slice(at)}`,
    ]);
  }
  function request() {
    const path = chance(0.9)
      ? Array.from({ length: chance(0.1) ? 1 + below(12) : 1 }, () => pick(procedures)).join(",")
      : pick([
          "",
          ",",
          "auth",
          "auth.",
          "..",
          "%00",
          "%E0%A4%A",
          "__proto__",
          "constructor.name",
          "auth.me/",
          "auth.me%2C",
        ]);
    const parameters = [
      chance(0.4) && `input=${encodeURIComponent(body().toWellFormed())}`,
      chance(0.15) && "batch=1",
      chance(0.05) && `connectionParams=${encodeURIComponent(pick(["{}", "[]", "null", "{", '{"a":"b"}']))}`,
      chance(0.05) && "input=%7B&input=5",
    ].filter((parameter) => parameter !== false);
    const method = pick(["GET", "GET", "POST", "POST", "POST", "POST", "HEAD", "OPTIONS", "PUT", "DELETE"]);
    return {
      target: `/trpc/${path}?${parameters.join("&")}`,
      method,
      headers: {
        ...(chance(0.9)
          ? {
              "content-type": chance(0.9)
                ? "application/json"
                : pick(["text/plain", "application/octet-stream", "multipart/form-data; boundary=x", "x"]),
            }
          : {}),
        ...(chance(0.8)
          ? { authorization: `Bearer ${pick([user.token, user.token, admin.token, "x"])}` }
          : {}),
        ...(chance(0.05) ? { "trpc-accept": pick(["application/jsonl", "text/event-stream", "x"]) } : {}),
        ...(chance(0.05) ? { "x-request-id": pick(["a".repeat(40), "é", "x y"]) } : {}),
      },
      ...(method === "POST" || method === "PUT" ? { body: body() } : {}),
    };
  }
  return { request };
}

test("five hundred requests of every shape: none is answered with 500, and the next honest one is served", async () => {
  const fuzzer = createFuzzer(20_260_731);
  const seen = new Set<number>();
  const next = async (count: number): Promise<void> => {
    for (let sent = 0; sent < count; sent += 1) {
      const { target, ...options } = fuzzer.request();
      const answer = await send(product.api.url, target, options);
      seen.add(answer.status);
      expect(answer.status, `${JSON.stringify({ target, ...options })} ${answer.body}`).toBeLessThan(500);
    }
  };
  await Promise.all([next(125), next(125), next(125), next(125)]);
  // Not all of them fell at the first wall.
  for (const status of [200, 400, 401, 403, 404, 405, 415]) expect(seen).toContain(status);
  const again = await send(product.api.url, "/trpc/auth.me", {
    headers: { authorization: `Bearer ${admin.token}` },
  });
  expect(again.status).toBe(200);
  expect(await run(product.database.ownerUrl, "select 1 from users where role = 'admin'")).toHaveLength(1);
});
