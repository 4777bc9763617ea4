import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import type { RunningApi } from "@minimcp/api/start";
import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, createUser, openSession, password, signIn } from "../support/accounts.ts";
import { type CallAnswer, mutate } from "../support/call.ts";
import { addType, callTool, createInstance, findBundle, type Instance } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { refusalOf, type StreamEvent, subscribe, type Subscription } from "../support/subscribe.ts";
import { startAnotherApi } from "./support/another-api.ts";
import { run } from "../support/sql.ts";
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
    password,
  });
  const streams = await openAll(data.tokens.accessToken, api.url);
  const startedAt = performance.now();
  const [ends] = await Promise.all([endsOf(streams), api[Symbol.asyncDispose]()]);
  expect(ends.reasons).toEqual(three(undefined));
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

/**
 * Somebody with a list of two megabytes: more than the kernel takes for a reader who does not read.
 * @param idle a product without a worker, which would run them all
 */
async function createHeavyUser(idle: Product): Promise<Account> {
  await addType(idle, "plain");
  const user = await createUser(idle, await createAdmin(idle));
  await run(
    idle.database.ownerUrl,
    `with made as (
       insert into instances (id, user_id, type_id, expires_at, config)
       select gen_random_uuid(), $1, 'plain', now() + interval '1 hour', jsonb_build_object('a', repeat('x', 10000))
       from generate_series(1, 200) returning id, user_id)
     insert into receipts (instance_id, user_id) select id, user_id from made`,
    [user.id],
  );
  return user;
}

interface Unread {
  api: RunningApi;
  token: string;
  sockets: Socket[];
}

/** Opens the list of a user and takes nothing of it but its beginning. */
async function openUnread(apiUrl: string, token: string): Promise<Socket> {
  const { port, host } = new URL(apiUrl);
  const socket = connect(Number(port), "127.0.0.1").pause();
  socket.on("error", () => undefined);
  socket.write(
    `GET /trpc/mcp.watchAll HTTP/1.1\r\nhost: ${host}\r\naccept: text/event-stream\r\nauthorization: Bearer ${token}\r\n\r\n`,
  );
  await once(socket, "readable");
  return socket;
}

// Whatever ends a stream of which nothing is read: nobody waits for its next value, and the process must live on. A
// rejection that nobody handles fails the run.
test.each([
  ["silent for too long", { stalledStreamMs: 3_000 }, (): unknown => undefined],
  ["gone", {}, ({ sockets }: Unread): unknown => sockets.map((socket) => socket.destroy())],
  [
    "signed out",
    { stalledStreamMs: 3_000 },
    ({ api, token }: Unread): unknown => mutate(api.url, "auth.signOut", undefined, { token }),
  ],
] as const)(
  "readers who take nothing lose their places when they are %s, and nothing else happens",
  async (_, options, end) => {
    await using idle = await startProduct({ worker: false });
    await using api = await startAnotherApi(idle, { STREAMS_PER_USER: "8" }, options);
    const user = await createHeavyUser(idle);
    const open = async (): Promise<string> =>
      (await mutate(api.url, "auth.signIn", { email: user.email, password })).data.tokens.accessToken;
    const [token, other] = [await open(), await open()];
    const next = (): Promise<CallAnswer> => refusalOf(api.url, "mcp.watchAll", undefined, { token: other });
    using held = new DisposableStack();
    const sockets: Socket[] = [];
    // One after the other, so that each has been sent another number of values: between the reads of the database and
    // the kernel's buffers, each is stuck at another place.
    for (let place = 1; place <= 8; place += 1) {
      const socket = await openUnread(api.url, token);
      held.defer(() => socket.destroy());
      sockets.push(socket);
      await run(idle.database.ownerUrl, "update instances set label = $2 where user_id = $1", [
        user.id,
        String(place),
      ]);
      await delay(270);
    }
    expect((await next()).error?.reason).toBe("stream.limitReached");
    await end({ api, token, sockets });
    await expect.poll(async () => (await next()).status, { timeout: 10_000, interval: 100 }).toBe(200);
    for (const socket of sockets) if (!socket.destroyed) socket.resume();
    expect((await fetch(`${api.url}/readyz`)).status).toBe(200);
  },
);
