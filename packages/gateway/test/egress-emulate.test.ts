import { createEmulator } from "emulate";
import { expect, test } from "vitest";

import { refreshAccessToken } from "../src/index.ts";
import {
  ask,
  canary,
  type Asked,
  type Egress,
  openEgress,
  type Handler,
  openUpstream,
  routeTo,
  type Seen,
  tokenForm,
} from "./egress-harness.ts";

async function askJson(egress: Egress, asked: Asked & { json?: unknown }) {
  const { json, ...rest } = asked;
  const body = json === undefined ? asked.body : JSON.stringify(json);
  const answer = await ask(egress, {
    ...rest,
    ...(body !== undefined && { body }),
    headers: { ...(json !== undefined && { "content-type": "application/json" }), ...asked.headers },
  });
  return { ...answer, json: JSON.parse(answer.text) };
}

test("a GitHub server that holds no key works in the name of the key's owner", async () => {
  const host = "api.github.com";
  await using stack = new AsyncDisposableStack();
  const github = await createEmulator({
    service: "github",
    port: 0,
    // The emulator takes an unknown token for its first user: only the canary makes the second one answer.
    seed: {
      tokens: { someone: { login: "first" }, [canary]: { login: "owner" } },
      github: { users: [{ login: "first" }, { login: "owner" }] },
    },
  });
  stack.defer(() => github.close());
  const seen: Seen[] = [];
  const upstreams = routeTo({ [host]: github.url }, seen);
  const egress = stack.use(
    await openEgressOf(upstreams, [host], {
      inject: { hosts: [host], scheme: "bearer" },
      placeholder: null,
      read: async () => Buffer.from(canary),
    }),
  );
  const who = await askJson(egress, { host, path: "/user" });
  expect(who.json.login).toBe("owner");
  const made = await askJson(egress, { host, method: "POST", path: "/user/repos", json: { name: "site" } });
  expect(made).toMatchObject({ status: 201, json: { full_name: "owner/site" } });
  const issues = "/repos/owner/site/issues";
  const opened = await askJson(egress, { host, method: "POST", path: issues, json: { title: "It leaks" } });
  expect(opened).toMatchObject({ status: 201, json: { number: 1 } });
  expect((await askJson(egress, { host, path: issues })).json).toMatchObject([{ title: "It leaks" }]);
  expect((await askJson(egress, { host, path: "/repos/owner/none" })).status).toBe(404);
  expect(seen.every(({ headers }) => headers.authorization === `Bearer ${canary}`)).toBe(true);
  expectNoCanary(egress, [who, made, opened]);
});

test("an unmodified Gmail client that holds placeholders refreshes its token and reads mail; the key goes to one host", async () => {
  const gmail = "gmail.googleapis.com";
  const tokens = "oauth2.googleapis.com";
  await using stack = new AsyncDisposableStack();
  const google = await createEmulator({ service: "google", port: 0 });
  stack.defer(() => google.close());
  const seen: Seen[] = [];
  const upstreams = routeTo({ [gmail]: google.url, [tokens]: google.url }, seen);
  let reads = 0;
  const egress = stack.use(
    await openEgressOf(upstreams, [gmail], {
      inject: { hosts: [gmail], scheme: "bearer" },
      placeholder: tokenForm,
      tokenEndpoint: { host: tokens, path: "/token" },
      readToken: async () => {
        reads++;
        return { token: Buffer.from(canary), expiresAt: Date.now() + 3_600_000 };
      },
    }),
  );
  const { placeholder } = egress.broker;
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    client_id: String(placeholder),
    client_secret: String(placeholder),
    refresh_token: String(placeholder),
  }).toString();
  for (const way of ["tls", "connect"] as const) {
    const granted = await askJson(egress, { way, host: tokens, method: "POST", path: "/token", body: form });
    expect(granted.json).toEqual({ access_token: placeholder, token_type: "Bearer", expires_in: 3600 });
    const headers = { authorization: `Bearer ${granted.json.access_token}` };
    const mail = await askJson(egress, {
      way,
      host: gmail,
      path: "/gmail/v1/users/me/messages?maxResults=2",
      headers,
    });
    expect(mail.json.messages).toHaveLength(2);
    // Without the placeholder there is no credential: the upstream says so itself.
    expect((await ask(egress, { way, host: gmail, path: "/gmail/v1/users/me/messages" })).status).toBe(401);
    expectNoCanary(egress, [granted, mail]);
  }
  expect(await ask(egress, { way: "tls", host: tokens, path: "/tokeninfo" })).toMatchObject({
    reason: "hostNotAllowed",
  });
  expect(seen.filter(({ headers }) => headers.authorization === `Bearer ${canary}`)).toHaveLength(2);
  expect(seen.every(({ host }) => host === gmail)).toBe(true);
  expect(reads).toBe(1);
});

test("an account's refresh token becomes access tokens outside the sandbox, and one that was revoked says so", async () => {
  const tokens = "oauth2.googleapis.com";
  await using stack = new AsyncDisposableStack();
  const google = await createEmulator({
    service: "google",
    port: 0,
    seed: {
      google: {
        users: [{ email: "owner@example.test", name: "Owner" }],
        oauth_clients: [
          {
            client_id: "client",
            client_secret: "hush",
            name: "MiniMCP",
            redirect_uris: ["http://127.0.0.1/done"],
          },
        ],
      },
    },
  });
  stack.defer(() => google.close());
  const upstream = stack.use(
    await openUpstream((request, response) => {
      // The emulator has its endpoint under another path than Google.
      if (request.url === "/token") request.url = "/oauth2/token";
      routeTo({ [tokens]: google.url }, [])(request, response);
    }),
  );
  const grant = {
    endpoint: `https://${tokens}/token`,
    clientId: "client",
    clientSecret: "hush",
    refreshToken: "revoked",
  };
  const options = { loopbackUpstreams: { [tokens]: upstream }, signal: AbortSignal.timeout(20_000) };
  await expect(refreshAccessToken(grant, options)).rejects.toThrow("connect the account again");

  const refreshToken = await signIn(google.url);
  const { token, expiresAt } = await refreshAccessToken(
    { ...grant, refreshToken },
    { ...options, now: () => 0 },
  );
  expect(expiresAt).toBeGreaterThan(60_000);
  const answer = await fetch(`${google.url}/gmail/v1/users/me/messages`, {
    headers: { authorization: `Bearer ${token.toString()}` },
  });
  expect(answer.status).toBe(200);
  const elsewhere = {
    ...options,
    loopbackUpstreams: {},
    resolve: async () => [{ address: "127.0.0.1", family: 4 }],
  };
  await expect(refreshAccessToken(grant, elsewhere)).rejects.toThrow("not public");
});

/** Consents in the emulator's page, as a browser would. @returns the refresh token */
async function signIn(url: string): Promise<string> {
  const client = { client_id: "client", redirect_uri: "http://127.0.0.1/done" };
  const consent = await fetch(`${url}/o/oauth2/v2/auth/callback`, {
    method: "POST",
    redirect: "manual",
    body: new URLSearchParams({ ...client, email: "owner@example.test", scope: "openid email", state: "s" }),
  });
  const code = new URL(consent.headers.get("location") ?? "").searchParams.get("code") ?? "";
  const granted = await fetch(`${url}/oauth2/token`, {
    method: "POST",
    body: new URLSearchParams({ ...client, client_secret: "hush", grant_type: "authorization_code", code }),
  });
  const { refresh_token: refreshToken } = (await granted.json()) as { refresh_token: string };
  return refreshToken;
}

async function openEgressOf(
  upstreams: Handler,
  hosts: string[],
  credential: NonNullable<Parameters<typeof openEgress>[1]>["credential"] & {},
): Promise<Egress> {
  return await openEgress(upstreams, {
    rules: hosts.map((host) => ({ host, port: 443, methods: ["GET", "POST"], pathPrefixes: ["/"] })),
    credential,
    loopbackHosts: hosts,
  });
}

function expectNoCanary(egress: Egress, answers: unknown[]): void {
  const all = JSON.stringify([answers, egress.decisions, egress.errors, egress.broker]);
  for (const form of [canary, Buffer.from(canary).toString("base64"), canary.slice(4)])
    expect(all).not.toContain(form);
}
