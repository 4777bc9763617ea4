import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser, signIn } from "../support/accounts.ts";
import { type CallAnswer, mutate, query } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { eventually } from "./support/eventually.ts";
import { run } from "../support/sql.ts";

// The attack: a copied token. A refresh token works once, so that a copy shows itself the moment both copies are used;
// an access token is worth nothing a second after its session, its account or its privileges are gone, although it says
// of itself that it is good for a quarter of an hour.

let product: Product;
let url: string;
let ownerUrl: string;
let admin: Account;
let user: Account;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  url = product.api.url;
  ownerUrl = product.database.ownerUrl;
  admin = await createAdmin(product);
});

beforeEach(async () => {
  user = await createUser(product, admin);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function refresh(refreshToken: string): Promise<CallAnswer> {
  return mutate(url, "auth.refresh", { refreshToken });
}

async function isLive(token: string): Promise<boolean> {
  const { status, error } = await query(url, "auth.me", undefined, { token });
  if (status === 401) expect(error?.reason).toBe("auth.sessionEnded");
  return status === 200;
}

/** The promise is one second by the database's word; a busy machine may need a little more to say so. */
async function expectDeadWithinASecond(token: string): Promise<void> {
  await eventually(1_500, async () => !(await isLive(token)));
}

async function sessionOf(account: Account): Promise<{ end_reason: string | null }[]> {
  return await run(ownerUrl, "select end_reason from sessions where user_id = $1 order by created_at", [
    account.id,
  ]);
}

async function reuseEvents(account: Account): Promise<unknown[]> {
  return await run(
    ownerUrl,
    `select e.action, e.result, e.error_message, e.new_value from audit.events e join sessions s on s.id::text = e.resource_id
     where s.user_id = $1 and e.action = 'auth.refresh'`,
    [account.id],
  );
}

describe("a refresh token", () => {
  test("gives the next pair, which works, and so on", async () => {
    let token = user.refreshToken;
    for (let round = 0; round < 3; round += 1) {
      const { data, status } = await refresh(token);
      expect(status).toBe(200);
      expect(data.tokens.refreshToken).not.toBe(token);
      expect(await isLive(data.tokens.accessToken)).toBe(true);
      token = data.tokens.refreshToken;
    }
    expect(await isLive(user.token)).toBe(true);
  });

  test("that is used again ends its session with every token of it, and is in the audit trail once", async () => {
    const next = (await refresh(user.refreshToken)).data.tokens;
    expect(await isLive(next.accessToken)).toBe(true);
    const again = await refresh(user.refreshToken);
    expect(again.status).toBe(401);
    expect(again.error?.reason).toBe("auth.refreshTokenReused");

    await expectDeadWithinASecond(next.accessToken);
    await expectDeadWithinASecond(user.token);
    expect((await refresh(next.refreshToken)).status).toBe(401);
    expect(await sessionOf(user)).toEqual([{ end_reason: "refreshReuse" }]);
    expect(await reuseEvents(user)).toEqual([
      {
        action: "auth.refresh",
        result: "denied",
        error_message: "auth.refreshTokenReused",
        new_value: { userId: user.id },
      },
    ]);
  });

  test("that is used again leaves the user's other sessions alone", async () => {
    const elsewhere = await signIn(product, user.email);
    await refresh(user.refreshToken);
    await refresh(user.refreshToken);
    await expectDeadWithinASecond(user.token);
    expect(await isLive(elsewhere.token)).toBe(true);
  });

  test("used twenty times at once works once; the other nineteen look like theft, so the session ends", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(user.refreshToken)));
    const won = answers.filter((answer) => answer.status === 200);
    expect(won).toHaveLength(1);
    for (const answer of answers.filter((one) => one.status !== 200)) {
      expect([answer.status, answer.error?.reason]).toEqual([401, "auth.refreshTokenReused"]);
    }
    // A client must let one refresh fly at a time: even the winner's pair is dead.
    await expectDeadWithinASecond(won[0]?.data.tokens.accessToken);
    expect((await refresh(won[0]?.data.tokens.refreshToken)).status).toBe(401);
  });

  test("of a session that was signed out is unknown, however often it is tried, and is no sign of theft", async () => {
    await mutate(url, "auth.signOut", undefined, { token: user.token });
    for (let round = 0; round < 3; round += 1) {
      expect((await refresh(user.refreshToken)).error?.reason).toBe("auth.refreshTokenInvalid");
    }
    expect(await reuseEvents(user)).toEqual([]);
    expect(await sessionOf(user)).toEqual([{ end_reason: "signedOut" }]);
  });

  test("is refused while the account is suspended, and not used up by that", async () => {
    await run(ownerUrl, "update users set status = 'suspended' where id = $1", [user.id]);
    expect((await refresh(user.refreshToken)).error?.reason).toBe("auth.refreshTokenInvalid");
    expect((await refresh(user.refreshToken)).error?.reason).toBe("auth.refreshTokenInvalid");
    await run(ownerUrl, "update users set status = 'active' where id = $1", [user.id]);
    expect((await refresh(user.refreshToken)).status).toBe(200);
  });

  test.each([
    ["its own time is over", "update refresh_tokens set expires_at = now() where user_id = $1"],
    ["its session's time is over", "update sessions set absolute_expires_at = now() where user_id = $1"],
    ["its account is deleted", "update users set deleted_at = now() where id = $1"],
  ])("is refused when %s", async (_when, change) => {
    await run(ownerUrl, change, [user.id]);
    expect((await refresh(user.refreshToken)).error?.reason).toBe("auth.refreshTokenInvalid");
  });

  test.each(["mrt_", `mrt_${"A".repeat(49)}`, "x", "' or true --"])(
    "that is none is refused: %s",
    async (token) => {
      expect((await refresh(token)).error?.reason).toBe("auth.refreshTokenInvalid");
    },
  );

  test("does not lengthen a session beyond its end", async () => {
    await refresh(user.refreshToken);
    const [session] = await run(
      ownerUrl,
      `select absolute_expires_at = created_at + interval '30 days' as bounded from sessions where user_id = $1`,
      [user.id],
    );
    expect(session).toEqual({ bounded: true });
  });
});

describe("an access token dies within a second when", () => {
  test("its holder signs out; the user's other sessions go on", async () => {
    const elsewhere = await signIn(product, user.email);
    expect(await isLive(user.token)).toBe(true);
    expect((await mutate(url, "auth.signOut", undefined, { token: user.token })).status).toBe(200);
    await expectDeadWithinASecond(user.token);
    expect(await isLive(elsewhere.token)).toBe(true);
  });

  test.each([
    ["its user is suspended", "update users set status = 'suspended' where id = $1"],
    ["its user is deleted", "update users set deleted_at = now() where id = $1"],
    ["its user's privileges change", "update users set token_epoch = token_epoch + 1 where id = $1"],
    ["its session is ended", "update sessions set ended_at = now(), end_reason = 'test' where user_id = $1"],
    ["its session lay idle too long", "update sessions set idle_expires_at = now() where user_id = $1"],
    ["its session is over", "update sessions set absolute_expires_at = now() where user_id = $1"],
  ])("%s", async (_when, change) => {
    expect(await isLive(user.token)).toBe(true);
    await run(ownerUrl, change, [user.id]);
    await expectDeadWithinASecond(user.token);
  });
});

test("after a change of privileges, a refresh gives a token that counts again, with the new role", async () => {
  await run(ownerUrl, "update users set token_epoch = token_epoch + 1, role = 'auditor' where id = $1", [
    user.id,
  ]);
  const { accessToken } = (await refresh(user.refreshToken)).data.tokens;
  const me = await query(url, "auth.me", undefined, { token: accessToken });
  expect(me.data.user.role).toBe("auditor");
  expect((await query(url, "apiKey.list", undefined, { token: accessToken })).status).toBe(403);
});

async function liveSessions(): Promise<number | undefined> {
  const [row] = await run<{ count: number }>(
    ownerUrl,
    "select count(*)::int as count from sessions where user_id = $1 and ended_at is null",
    [user.id],
  );
  return row?.count;
}

describe("a user's sessions", () => {
  test("are ten; an eleventh sign-in ends the oldest", async () => {
    const accounts = [user];
    while (accounts.length < 10) accounts.push(await signIn(product, user.email));
    expect(await isLive(user.token)).toBe(true);
    const eleventh = await signIn(product, user.email);
    await expectDeadWithinASecond(user.token);
    expect(await isLive(eleventh.token)).toBe(true);
    expect(await isLive(accounts[1]?.token ?? "")).toBe(true);
    expect((await sessionOf(user))[0]).toEqual({ end_reason: "superseded" });
    expect(await liveSessions()).toBe(10);
  });

  test("are ten also after twenty-five sign-ins at once", async () => {
    await Promise.all(Array.from({ length: 25 }, () => signIn(product, user.email)));
    expect(await liveSessions()).toBe(10);
  });
});
