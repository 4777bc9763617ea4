// The attack: a compromised MCP server tries to read its user's key, or to have it sent where it can.
import type { IncomingHttpHeaders } from "node:http";
import { gzipSync } from "node:zlib";

import { expect, test } from "vitest";

import type { BrokerOptions, CredentialOptions, Injection } from "../src/index.ts";
import {
  ask,
  bearer,
  canary,
  type Egress,
  github,
  openEgress,
  other,
  tokenForm,
  ways,
} from "./egress-harness.ts";
import { until } from "./until.ts";

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

interface Watched extends AsyncDisposable {
  egress: Egress;
  seen: IncomingHttpHeaders[];
}

/** A broker whose upstream notes what it gets and says nothing of it. */
async function openWatched(
  credential: Partial<Record<keyof CredentialOptions | "read" | "readToken", unknown>>,
  options: Partial<BrokerOptions> = {},
): Promise<Watched> {
  const seen: IncomingHttpHeaders[] = [];
  const egress = await openEgress(
    (request, response) => {
      seen.push(request.headers);
      request.resume();
      response.end();
    },
    {
      credential: {
        inject: bearer,
        placeholder: null,
        ...("readToken" in credential ? {} : { read: async () => Buffer.from(canary) }),
        ...credential,
      } as CredentialOptions,
      ...options,
    },
  );
  return { egress, seen, [Symbol.asyncDispose]: () => egress[Symbol.asyncDispose]() };
}

test.for<[Omit<Injection, "hosts">, IncomingHttpHeaders]>([
  [{ scheme: "bearer" }, { authorization: `Bearer ${canary}` }],
  [{ scheme: "basic", username: "x-access-token" }, { authorization: basic(`x-access-token:${canary}`) }],
  [{ scheme: "header", header: "X-Figma-Token" }, { "x-figma-token": canary }],
  [{ scheme: "header", header: "authorization", prefix: "token " }, { authorization: `token ${canary}` }],
])("a credential of the form %o is added for its hosts and no other", async ([form, expected]) => {
  await using watched = await openWatched({ inject: { hosts: [github], ...form } });
  await ask(watched.egress);
  await ask(watched.egress, { host: other });
  expect(watched.seen[0]).toMatchObject(expected);
  expect(JSON.stringify(watched.seen[1])).not.toContain(canary.slice(4));
  expect(watched.seen[1]).not.toHaveProperty("authorization");
});

test("a credential that a child brings along goes nowhere", async () => {
  await using watched = await openWatched({
    inject: { hosts: [github], scheme: "header", header: "x-vendor" },
  });
  const own = {
    authorization: "Bearer attackers-own",
    cookie: "session=attackers-own",
    "x-vendor": "attackers-own",
    "x-api-key": "attackers-own",
    "x-goog-api-key": "attackers-own",
    "private-token": "attackers-own",
    "x-figma-token": "attackers-own",
    "x-goog-iam-authorization-token": "attackers-own",
  };
  for (const host of [github, other]) await ask(watched.egress, { host, headers: own });
  expect(watched.seen).toHaveLength(2);
  expect(JSON.stringify(watched.seen)).not.toContain("attackers-own");
  for (const query of [
    "access_token=x",
    "a=1&OAUTH_TOKEN=x",
    "%61ccess_token=x",
    "api_key=x",
    "access_token",
  ]) {
    expect((await ask(watched.egress, { path: `/?${query}` })).reason, query).toBe("credentialInQuery");
  }
  const twice = await ask(watched.egress, { headers: { authorization: ["Bearer a", "Bearer b"] } });
  expect(twice.reason).toBe("headerNotAllowed");
});

test("a placeholder looks like a key, is another one in each instance, and is worth nothing elsewhere", async () => {
  await using one = await openWatched({ placeholder: tokenForm });
  await using two = await openWatched({ placeholder: tokenForm });
  expect(one.egress.broker.placeholder).toMatch(/^ghp_[0-9A-Za-z]{36}$/);
  expect(one.egress.broker.placeholder).not.toBe(two.egress.broker.placeholder);
  await ask(two.egress, { headers: { authorization: `Bearer ${one.egress.broker.placeholder}` } });
  expect(two.seen[0]).not.toHaveProperty("authorization");
});

test("a placeholder becomes the key in a credential header that holds exactly it, for the key's hosts alone", async () => {
  await using watched = await openWatched({
    inject: { hosts: [github], scheme: "header", header: "x-figma-token" },
    placeholder: tokenForm,
  });
  const { egress, seen } = watched;
  const placeholder = String(egress.broker.placeholder);
  const swapped: [string, string, string][] = [
    ["authorization", placeholder, canary],
    ["authorization", `Bearer ${placeholder}`, `Bearer ${canary}`],
    ["authorization", `bearer  ${placeholder}`, `bearer ${canary}`],
    ["authorization", `token ${placeholder}`, `token ${canary}`],
    ["authorization", basic(`user:${placeholder}`), basic(`user:${canary}`)],
    ["authorization", basic(`${placeholder}:`), basic(`${canary}:`)],
    ["authorization", basic(`${placeholder}:x-oauth-basic`), basic(`${canary}:x-oauth-basic`)],
    ["x-figma-token", placeholder, canary],
  ];
  for (const [name, value, expected] of swapped) {
    await ask(egress, { headers: { [name]: value } });
    expect(seen.at(-1)?.[name], value).toBe(expected);
  }
  const dropped = [
    `Bearer x${placeholder}`,
    `Bearer ${placeholder}x`,
    `Bearer ${placeholder} x`,
    `Bearer ${placeholder},${placeholder}`,
    `Bearer ${placeholder.slice(0, -1)}`,
    `Bearer ${placeholder.toLowerCase()}`,
    `Digest ${placeholder}`,
    basic(placeholder),
    basic(`user:x${placeholder}`),
    basic(`user:${placeholder}:x`),
    `Basic ${placeholder}`,
  ];
  for (const value of dropped) {
    await ask(egress, { headers: { authorization: value } });
    expect(seen.at(-1), value).not.toHaveProperty("authorization");
  }
  // Other headers, the body, the address and other hosts keep the worthless value, or lose the header.
  await ask(egress, {
    headers: { "x-custom": placeholder },
    path: `/${placeholder}?key=${placeholder}`,
    method: "POST",
    body: placeholder,
  });
  expect(seen.at(-1)).toMatchObject({ "x-custom": placeholder });
  await ask(egress, {
    host: other,
    headers: { authorization: `Bearer ${placeholder}`, "x-figma-token": placeholder },
  });
  expect(seen.at(-1)).not.toHaveProperty("authorization");
  expect(JSON.stringify(seen.slice(swapped.length))).not.toContain(canary);
});

test("the key is opened at its first use, once however many requests wait for it, and not for what is denied", async () => {
  let reads = 0;
  const { promise: opened, resolve: release } = Promise.withResolvers<void>();
  await using watched = await openWatched({
    async read() {
      reads++;
      await opened;
      return Buffer.from(canary);
    },
  });
  await ask(watched.egress, { host: other });
  await ask(watched.egress, { host: "evil.test" });
  expect(reads).toBe(0);
  const asked = Array.from({ length: 20 }, () => ask(watched.egress));
  await until("somebody asks for the key", () => reads > 0);
  release();
  for (const answer of await Promise.all(asked)) expect(answer.status).toBe(200);
  expect(reads).toBe(1);
});

test("the key is zeroed when the broker is disposed of, also one that comes too late", async () => {
  const early = Buffer.from(canary);
  const late = Buffer.from(canary);
  {
    await using watched = await openWatched({ read: async () => early });
    await ask(watched.egress);
    expect(early.toString()).toBe(canary);
  }
  expect(early.every((byte) => byte === 0)).toBe(true);

  const { promise, resolve: come } = Promise.withResolvers<Buffer>();
  const signals: AbortSignal[] = [];
  {
    await using watched = await openWatched({
      read(signal: AbortSignal) {
        signals.push(signal);
        return promise;
      },
    });
    void ask(watched.egress).catch(() => "cut off");
    await until("the key is asked for", () => signals.length > 0);
  }
  expect(signals[0]?.aborted).toBe(true);
  come(late);
  await until("the late key is zeroed", () => late.every((byte) => byte === 0));
});

test("a key that cannot be opened, never comes, or would begin another header is an error in words, and is asked for again", async () => {
  const outcomes: (() => Promise<Buffer>)[] = [
    () => Promise.reject(new Error(`cannot open ${canary}`)),
    async () => Buffer.from(`${canary}\r\nX-Evil: 1`),
    async () => Buffer.alloc(0),
    () => new Promise(() => {}),
  ];
  const failures = outcomes.length;
  let clock = Date.now();
  await using watched = await openWatched(
    { read: () => outcomes.shift()?.() ?? Promise.resolve(Buffer.from(canary)) },
    { now: () => (clock += 2_000), limits: { credentialTimeoutMs: 100 } },
  );
  for (let i = 0; i < failures; i++) {
    const answer = await ask(watched.egress);
    expect(answer).toMatchObject({ status: 502, reason: "credentialUnavailable" });
    expect(answer.text).not.toContain(canary);
  }
  expect((await ask(watched.egress)).status).toBe(200);
  expect(JSON.stringify(watched.egress.decisions)).not.toContain(canary);
});

test("an access token is refreshed before it expires, and one refresh serves all who wait", async () => {
  let clock = Date.now();
  let reads = 0;
  await using watched = await openWatched(
    {
      readToken: async () => ({ token: Buffer.from(`token-${++reads}`), expiresAt: clock + 3_600_000 }),
    },
    { now: () => clock },
  );
  const { egress, seen } = watched;
  await Promise.all(Array.from({ length: 10 }, () => ask(egress)));
  expect(new Set(seen.map(({ authorization }) => authorization))).toEqual(new Set(["Bearer token-1"]));
  clock += 3_600_000 - 20_000;
  await Promise.all(Array.from({ length: 10 }, () => ask(egress)));
  expect(seen.slice(10).every(({ authorization }) => authorization === "Bearer token-2")).toBe(true);
  expect(reads).toBe(2);
});

test("a refused access token is refreshed once, however many were refused, and the child notices nothing", async () => {
  let reads = 0;
  let valid = 2;
  const bodies: string[] = [];
  await using egress = await openEgress(
    async (request, response) => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      if (request.headers.authorization !== `Bearer token-${valid}`) {
        response.writeHead(401).end("no");
        return;
      }
      bodies.push(body);
      response.end("yes");
    },
    {
      credential: {
        inject: bearer,
        placeholder: null,
        readToken: async () => ({ token: Buffer.from(`token-${++reads}`), expiresAt: null }),
      },
    },
  );
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, i) => ask(egress, { method: "POST", body: `body ${i}` })),
  );
  expect(answers.map(({ status, text }) => `${status} ${text}`)).toEqual(
    Array.from({ length: 10 }, () => "200 yes"),
  );
  expect(bodies.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `body ${i}`));
  expect(reads).toBe(2);
  expect(egress.decisions).toHaveLength(10);

  // A token that has only just been refreshed is not at fault; its 401 is the child's to see.
  valid = 99;
  for (let i = 0; i < 5; i++) expect(await ask(egress)).toMatchObject({ status: 401, text: "no" });
  expect(reads).toBe(2);
});

test.for(ways)(
  "an upstream that repeats what it is sent gives the key away to nobody, by way of %s",
  async (way) => {
    const encoded = Buffer.from(`u:${canary}`).toString("base64");
    await using egress = await openEgress(
      async (request, response) => {
        const echo = JSON.stringify(request.headers);
        // A server that compresses when it is asked to, as most do.
        if (/gzip/.test(String(request.headers["accept-encoding"]))) {
          response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(echo));
          return;
        }
        const body = `${echo} ${canary}${canary} ${canary.slice(0, 10)}`;
        response.writeHead(200, {
          "content-length": Buffer.byteLength(body),
          "x-echo": String(request.headers.authorization),
          location: `https://${github}/?${canary}`,
        });
        for (const character of body) await new Promise((resolve) => response.write(character, resolve));
        response.end();
      },
      {
        credential: {
          inject: { hosts: [github], scheme: "basic", username: "u" },
          placeholder: null,
          read: async () => Buffer.from(canary),
        },
      },
    );
    const answer = await ask(egress, { way, headers: { "accept-encoding": "gzip" } });
    expect(answer.headers["x-echo"]).toBe("Basic [redacted]");
    expect(answer.headers["content-length"]).toBe(String(answer.text.length));
    expect(answer.text).toContain("[redacted]");
    expect(answer.text.endsWith(canary.slice(0, 10))).toBe(true);
    const all = JSON.stringify([answer, egress.decisions]);
    expect(all).not.toContain(canary);
    expect(all).not.toContain(encoded);
  },
);
