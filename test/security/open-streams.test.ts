import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser, openSession, signIn } from "../support/accounts.ts";
import { mutate } from "../support/call.ts";
import { addType, callTool, createInstance, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { type StreamEvent, subscribe, type Subscription } from "../support/subscribe.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { run } from "./support/sql.ts";
import { openTokenForge } from "./support/token-forge.ts";

// The attack: whoever opened a stream goes on reading with a credential that has died since, because nobody asks again
// for as long as the connection is open.

let product: Product;
let admin: Account;
let ada: Account;
let instance: Instance;

beforeAll(async () => {
  product = await startProduct({ findBundle });
  admin = await createAdmin(product);
  ada = await createUser(product, admin);
  await addType(product, "plain");
  instance = await createInstance(product, ada, { type: "plain" });
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function setUser(change: string): Promise<unknown> {
  return run(product.database.ownerUrl, `update users set ${change} where id = $1`, [ada.id]);
}

/** One stream of each kind, each with its first value read. */
async function openAll(token: string, apiUrl = product.api.url): Promise<Subscription[]> {
  const { id } = instance;
  const streams = await Promise.all([
    subscribe(apiUrl, "mcp.watch", { id }, { token }),
    subscribe(apiUrl, "mcp.watchAll", undefined, { token }),
    subscribe(apiUrl, "mcp.logs", { id }, { token }),
  ]);
  await (await callTool(instance, "say", { lines: ["hello"] })).arrayBuffer();
  for (const stream of streams) expect((await stream.next()).event).toBe("message");
  return streams;
}

/** What the streams end with, and how long after they were to. */
async function endsOf(
  streams: Subscription[],
): Promise<{ reasons: (string | undefined)[]; afterMs: number }> {
  const startedAt = performance.now();
  const last = await Promise.all(
    streams.map(async (stream): Promise<StreamEvent | undefined> => (await stream.rest()).at(-1)),
  );
  return {
    reasons: last.map((event) => {
      if (event?.event === "serialized-error") return event.data.data.reason;
      return event?.event === "return" ? "return" : undefined;
    }),
    afterMs: performance.now() - startedAt,
  };
}

const three = <T>(value: T): T[] => [value, value, value];

test.each([
  ["a signed-out access token", async () => (await signIn(product, ada.email)).token],
  ["a signed-out session bearer", () => openSession(product, ada)],
])("%s ends its streams within a second, and those of other sessions go on", async (_, open) => {
  const token = await open();
  const other = await openAll((await signIn(product, ada.email)).token);
  const streams = await openAll(token);
  await mutate(product.api.url, "auth.signOut", undefined, { token });
  const { reasons, afterMs } = await endsOf(streams);
  expect(reasons).toEqual(three("auth.sessionEnded"));
  expect(afterMs).toBeLessThan(1_000);
  await (await callTool(instance, "say", { lines: ["still here"] })).arrayBuffer();
  for (let line; line !== "still here"; line = (await other[2]?.next())?.data.text);
  for (const stream of other) await stream[Symbol.asyncDispose]();
});

test.each([
  ["a suspension", "status = 'suspended'", "status = 'active'"],
  ["a change of privilege", "token_epoch = token_epoch + 1", "role = role"],
  ["the deletion of the account", "deleted_at = now()", "deleted_at = null"],
])("%s ends every stream of the user within a second", async (_, change, undo) => {
  const streams = [
    ...(await openAll((await signIn(product, ada.email)).token)),
    ...(await openAll(await openSession(product, ada))),
  ];
  await setUser(change);
  const { reasons, afterMs } = await endsOf(streams);
  await setUser(undo);
  expect(reasons).toEqual([...three("auth.sessionEnded"), ...three("auth.sessionEnded")]);
  expect(afterMs).toBeLessThan(1_000);
});

test("a stream ends with the access token that it was opened with", async () => {
  const forge = await openTokenForge(product);
  const account = await signIn(product, ada.email);
  const now = Math.floor(Date.now() / 1_000);
  // The server is lenient by five seconds with clocks when a token is shown, and not with its own here.
  const token = await forge.sign({
    ...forge.claimsOf(account),
    iat: now - 898,
    nbf: now - 898,
    exp: now + 2,
  });
  const streams = await openAll(token);
  const { reasons, afterMs } = await endsOf(streams);
  expect(reasons).toEqual(three("auth.tokenExpired"));
  expect(afterMs).toBeLessThan(3_500);
});

test("an API that stops ends its streams at once and without an end event, so that their readers come again", async () => {
  const api = await startAnotherApi(product, {});
  const { data } = await mutate(api.url, "auth.signIn", {
    email: ada.email,
    password: "four unrelated words together",
  });
  const streams = await openAll(data.tokens.accessToken, api.url);
  const startedAt = performance.now();
  const [ends] = await Promise.all([endsOf(streams), api[Symbol.asyncDispose]()]);
  expect(ends.reasons).toEqual(three(undefined));
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});
