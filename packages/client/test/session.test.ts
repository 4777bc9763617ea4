import { describe, expect, it } from "vitest";

import {
  createMiniMcpClient,
  isReason,
  memoryStore,
  type StoredTokens,
  type TokenStore,
} from "../src/index.ts";
import { output, type ReceivedCall, type Reaction, refusal, startStandIn, tokenPair } from "./stand-in.ts";

const expired: StoredTokens = { accessToken: "access-0", refreshToken: "refresh-0", refreshAtMs: 0 };
const fresh: StoredTokens = { ...expired, refreshAtMs: Date.now() + 600_000 };

/** Answers `auth.me` for one access token, and `auth.refresh` as told. */
function serveMe(options: { valid: string; refresh: (call: ReceivedCall) => Reaction | Promise<Reaction> }) {
  return (call: ReceivedCall) => {
    if (call.path === "auth.refresh") return options.refresh(call);
    if (call.headers.authorization === `Bearer ${options.valid}`) return output({ ok: true });
    return refusal("auth.tokenExpired");
  };
}

describe("a client with a token store", () => {
  it.each([
    ["that the client knows to be expired", expired],
    ["that only the server knows to be expired", fresh],
  ])("makes one refresh request for 20 concurrent calls with a token %s", async (_, tokens) => {
    await using server = await startStandIn(
      serveMe({ valid: "access-1", refresh: () => output({ tokens: tokenPair(1) }) }),
    );
    const store = memoryStore(tokens);
    const client = createMiniMcpClient({ url: server.url, store });
    await Promise.all(Array.from({ length: 20 }, () => client.auth.me.query()));
    expect(server.countOf("auth.refresh")).toBe(1);
    expect((await store.read())?.refreshToken).toBe("refresh-1");
  });

  it("counts the token's lifetime from its arrival, whatever dates the server names", async () => {
    await using server = await startStandIn(({ path }) =>
      output(path === "auth.signIn" ? { status: "signedIn", tokens: tokenPair(1) } : {}),
    );
    const store = memoryStore();
    const client = createMiniMcpClient({ url: server.url, store });
    const before = Date.now();
    await client.auth.signIn.mutate({ email: "a@example.test", password: "a long password" });
    const kept = await store.read();
    expect(kept).toMatchObject({ accessToken: "access-1", refreshToken: "refresh-1" });
    expect(kept?.refreshAtMs).toBeGreaterThan(before + 700_000);
    expect(kept?.refreshAtMs).toBeLessThan(Date.now() + 900_000);
    await client.auth.me.query();
    expect(server.calls.at(-1)?.headers.authorization).toBe("Bearer access-1");
  });

  it("forgets the tokens when the refresh token is dead, and says why", async () => {
    await using server = await startStandIn(
      serveMe({ valid: "none", refresh: () => refusal("auth.refreshTokenInvalid") }),
    );
    const store = memoryStore(expired);
    const client = createMiniMcpClient({ url: server.url, store });
    await expect(client.auth.me.query()).rejects.toMatchObject({ reason: "auth.refreshTokenInvalid" });
    expect(await store.read()).toBeNull();
  });

  it.each([
    ["a cut connection", "cut" as const, "client.network"],
    ["an error of the server", refusal("server.internal"), "server.internal"],
    ["an unavailable server", refusal("server.unavailable"), "server.unavailable"],
  ])("keeps the tokens when the refresh fails by %s", async (_, reaction, reason) => {
    await using server = await startStandIn(serveMe({ valid: "none", refresh: () => reaction }));
    const store = memoryStore(expired);
    const client = createMiniMcpClient({ url: server.url, store });
    await expect(client.auth.me.query()).rejects.toMatchObject({ reason });
    expect(await store.read()).toEqual(expired);
    await expect(client.auth.me.query()).rejects.toMatchObject({ reason });
    expect(server.countOf("auth.refresh")).toBe(2);
  });

  it("repeats a refused call once after the refresh and no more", async () => {
    await using server = await startStandIn(
      serveMe({ valid: "none", refresh: () => output({ tokens: tokenPair(1) }) }),
    );
    const client = createMiniMcpClient({ url: server.url, store: memoryStore(fresh) });
    await expect(client.auth.me.query()).rejects.toMatchObject({ reason: "auth.tokenExpired" });
    expect(server.countOf("auth.me")).toBe(2);
    expect(server.countOf("auth.refresh")).toBe(1);
  });

  it("uses what another process has refreshed instead of refreshing again", async () => {
    const other: StoredTokens = { ...fresh, accessToken: "access-7", refreshToken: "refresh-7" };
    let reads = 0;
    const written: unknown[] = [];
    const shared: TokenStore = {
      read: () => Promise.resolve(reads++ === 0 ? expired : other),
      write: (tokens) => Promise.resolve(void written.push(tokens)),
    };
    await using server = await startStandIn(
      serveMe({ valid: "access-7", refresh: () => refusal("auth.refreshTokenReused") }),
    );
    const client = createMiniMcpClient({ url: server.url, store: shared });
    await client.auth.me.query();
    expect(server.countOf("auth.refresh")).toBe(0);
    expect(written).toEqual([]);
  });

  it("exchanges a refresh token once when clients share a store with a lock", async () => {
    const inner = memoryStore(expired);
    let last: Promise<unknown> = Promise.resolve();
    const shared: TokenStore = {
      ...inner,
      lock(work) {
        const turn = last.then(work, work);
        last = turn;
        return turn;
      },
    };
    await using server = await startStandIn(
      serveMe({ valid: "access-1", refresh: () => output({ tokens: tokenPair(1) }) }),
    );
    const clients = [1, 2, 3].map(() => createMiniMcpClient({ url: server.url, store: shared }));
    await Promise.all(clients.map((client) => client.auth.me.query()));
    expect(server.countOf("auth.refresh")).toBe(1);
  });

  it("does not bring back a session that was signed out of while it was refreshed", async () => {
    const store = memoryStore(expired);
    await using server = await startStandIn(
      serveMe({
        valid: "access-1",
        refresh: async () => {
          await store.write(null);
          return output({ tokens: tokenPair(1) });
        },
      }),
    );
    const client = createMiniMcpClient({ url: server.url, store });
    await expect(client.auth.me.query()).rejects.toMatchObject({ reason: "auth.tokenExpired" });
    expect(await store.read()).toBeNull();
  });

  it("signs in although the stored tokens are dead", async () => {
    await using server = await startStandIn(({ path }) =>
      path === "auth.signIn"
        ? output({ status: "signedIn", tokens: tokenPair(2) })
        : refusal("auth.refreshTokenInvalid"),
    );
    const store = memoryStore(expired);
    const client = createMiniMcpClient({ url: server.url, store });
    await client.auth.signIn.mutate({ email: "a@example.test", password: "a long password" });
    expect(server.calls.map((call) => call.path)).toEqual(["auth.signIn"]);
    expect((await store.read())?.accessToken).toBe("access-2");
  });

  it("forgets the tokens on sign-out", async () => {
    await using server = await startStandIn(() => output({}));
    const store = memoryStore(fresh);
    await createMiniMcpClient({ url: server.url, store }).auth.signOut.mutate();
    expect(await store.read()).toBeNull();
  });

  it("lets one caller give up waiting for a refresh without failing the others", async () => {
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    await using server = await startStandIn(
      serveMe({
        valid: "access-1",
        refresh: async () => {
          await mayAnswer;
          return output({ tokens: tokenPair(1) });
        },
      }),
    );
    const client = createMiniMcpClient({ url: server.url, store: memoryStore(expired) });
    const impatient = new AbortController();
    const gaveUp = client.auth.me.query(undefined, { signal: impatient.signal });
    const patient = client.auth.me.query();
    impatient.abort();
    await expect(gaveUp).rejects.toMatchObject({ reason: "client.aborted" });
    answer();
    await expect(patient).resolves.toEqual({ ok: true });
  });
});

describe("a client with a fixed token", () => {
  it("sends it, and does not try to refresh it", async () => {
    await using server = await startStandIn(() => refusal("auth.tokenExpired"));
    const client = createMiniMcpClient({ url: `${server.url}/`, token: "fixed" });
    const error: unknown = await client.auth.me.query().catch((thrown: unknown) => thrown);
    expect(isReason(error, "auth.tokenExpired")).toBe(true);
    expect(server.calls.map((call) => [call.path, call.headers.authorization])).toEqual([
      ["auth.me", "Bearer fixed"],
    ]);
  });
});
