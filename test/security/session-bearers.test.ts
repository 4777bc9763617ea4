import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser, openSession, password } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { subscribe } from "../support/subscribe.ts";
import { eventually } from "./support/eventually.ts";
import { dump, findSecret, run } from "../support/sql.ts";

// The attack: a session bearer, which a server holds for a browser, is stolen, guessed, bent, or used on after its session
// should be over.

let product: Product;
let ada: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  ada = await createUser(product, await createAdmin(product));
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

async function reasonFor(token: string): Promise<string | undefined> {
  return (await query(product.api.url, "auth.me", undefined, { token })).error?.reason;
}

function me(token: string) {
  return query(product.api.url, "auth.me", undefined, { token });
}

/** As if time had gone by for the session of a bearer. */
async function age(token: string, change: string): Promise<void> {
  const { session } = (await me(token)).data;
  await run(product.database.ownerUrl, `update sessions set ${change} where id = $1`, [session.id]);
}

const minutesUntil = (date: Date) => (date.getTime() - Date.now()) / 60_000;

test("a sign-in that asks for a session gets one bearer in place of tokens, for an hour without use and twelve in any case", async () => {
  const { data } = await mutate(product.api.url, "auth.signIn", {
    email: ada.email,
    password,
    as: "session",
  });
  expect(Object.keys(data).toSorted()).toEqual(["session", "status", "user"]);
  expect(data.session.bearer).toMatch(/^mss_[0-9A-Za-z]{49}$/);
  expect(minutesUntil(data.session.idleExpiresAt)).toBeCloseTo(60, 0);
  expect(minutesUntil(data.session.absoluteExpiresAt)).toBeCloseTo(12 * 60, 0);
  const { status, data: who } = await me(data.session.bearer);
  expect(status).toBe(200);
  expect(who.user.id).toBe(ada.id);
  expect(who.session.idleExpiresAt).toEqual(data.session.idleExpiresAt);
  expect(findSecret(await dump(product.database.ownerUrl), data.session.bearer)).toEqual([]);
});

test("a sign-in that asks for nothing, or for tokens, gets tokens; for something else, nothing", async () => {
  for (const as of [undefined, "tokens"]) {
    const { data } = await mutate(product.api.url, "auth.signIn", { email: ada.email, password, as });
    expect(Object.keys(data).toSorted()).toEqual(["status", "tokens", "user"]);
  }
  const refused = await mutate(product.api.url, "auth.signIn", { email: ada.email, password, as: "cookie" });
  expect(refused.status).toBe(400);
});

describe("a bearer is dead", () => {
  test("within a second of its sign-out, and only it", async () => {
    const [first, second] = await Promise.all([openSession(product, ada), openSession(product, ada)]);
    expect([await reasonFor(first), await reasonFor(second)]).toEqual([undefined, undefined]);
    await mutate(product.api.url, "auth.signOut", undefined, { token: first });
    expect(
      await eventually(1_500, async () => (await reasonFor(first)) === "auth.sessionEnded"),
    ).toBeLessThan(1_100);
    expect(await reasonFor(second)).toBeUndefined();
  });

  test.each([
    ["unused for an hour", "idle_expires_at = now() - interval '1 second'"],
    ["twelve hours old", "absolute_expires_at = now() - interval '1 second'"],
  ])("when it is %s", async (_, change) => {
    const bearer = await openSession(product, ada);
    expect(await reasonFor(bearer)).toBeUndefined();
    await age(bearer, change);
    await expect.poll(() => reasonFor(bearer), { timeout: 1_500 }).toBe("auth.sessionEnded");
  });

  test("after a change of its account's privileges", async () => {
    const bob = await createUser(product, await createAdmin(product));
    const bearer = await openSession(product, bob);
    expect(await reasonFor(bearer)).toBeUndefined();
    await run(product.database.ownerUrl, "update users set token_epoch = token_epoch + 1 where id = $1", [
      bob.id,
    ]);
    await eventually(1_500, async () => (await reasonFor(bearer)) === "auth.sessionEnded");
    expect(await reasonFor(await openSession(product, bob))).toBeUndefined();
  });
});

test("use keeps it alive, up to its end and with at most one write a minute", async () => {
  const bearer = await openSession(product, ada);
  const first = (await me(bearer)).data.session;
  await eventually(2_500, async () => {
    await me(bearer);
    return Date.now() - first.lastSeenAt.getTime() > 1_200;
  });
  expect((await me(bearer)).data.session.lastSeenAt).toEqual(first.lastSeenAt);
  await age(
    bearer,
    "last_seen_at = now() - interval '61 seconds', idle_expires_at = now() + interval '1 minute', absolute_expires_at = now() + interval '30 minutes'",
  );
  await eventually(1_500, async () => minutesUntil((await me(bearer)).data.session.idleExpiresAt) > 29);
  const { idleExpiresAt, absoluteExpiresAt } = (await me(bearer)).data.session;
  expect(idleExpiresAt).toEqual(absoluteExpiresAt);
});

test("a stream that is opened is no use of it: a page left open does not keep it alive", async () => {
  const bearer = await openSession(product, ada);
  const { id } = (await me(bearer)).data.session;
  const rememberedAt = performance.now();
  const { ownerUrl } = product.database;
  await run(ownerUrl, "update sessions set last_seen_at = now() - interval '5 minutes' where id = $1", [id]);
  const isUnseen = async () => {
    const statement =
      "select last_seen_at < now() - interval '4 minutes' as unseen from sessions where id = $1";
    return (await run<{ unseen: boolean }>(ownerUrl, statement, [id]))[0]?.unseen;
  };
  await eventually(10_000, async () => {
    await using stream = await subscribe(product.api.url, "mcp.watchAll", undefined, { token: bearer });
    expect((await stream.next()).event).toBe("message");
    return performance.now() - rememberedAt > 1_200;
  });
  expect(await isUnseen()).toBe(true);
  await me(bearer);
  expect(await isUnseen()).toBe(false);
});

test("what only looks like one is refused without telling how far it came", async () => {
  const bearer = await openSession(product, ada);
  const bent = `${bearer.slice(0, 20)}${bearer[20] === "a" ? "b" : "a"}${bearer.slice(21)}`;
  const answers = await Promise.all(
    [bent, `${bearer}a`, bearer.slice(0, -1), "mss_", `mss_${"0".repeat(49)}`].map(me),
  );
  expect(
    new Set(answers.map(({ status, error }) => `${status} ${error?.reason} ${error?.message}`)).size,
  ).toBe(1);
  expect(answers[0]?.error?.reason).toBe("auth.tokenInvalid");
  // Nor is it good for anything else: a refresh token, an invitation, another header's form.
  expect((await mutate(product.api.url, "auth.refresh", { refreshToken: bearer })).error?.reason).toBe(
    "auth.refreshTokenInvalid",
  );
  expect(
    (await query(product.api.url, "auth.me", undefined, { headers: { authorization: `Basic ${bearer}` } }))
      .status,
  ).toBe(401);
  expect((await query(product.api.url, "auth.me", undefined, { headers: { cookie: bearer } })).status).toBe(
    401,
  );
});
