import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { FIXTURE } from "./support/fixture.ts";
import { post, sendLegacy, sendModern } from "./support/raw-client.ts";
import { runServer } from "./support/run-server.ts";
import type { RunningServer } from "./support/run-server.ts";
import { until } from "./support/until.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await runServer({ script: FIXTURE });
});
afterAll(() => server[Symbol.asyncDispose]());

const callTool = (name: string, meta?: object) => ({
  method: "tools/call",
  params: { name, arguments: {}, ...(meta && { _meta: meta }) },
});

const logLevel = (level: string) => ({ "io.modelcontextprotocol/logLevel": level });

describe("what is announced", () => {
  it.each(["2025-03-26", "2025-06-18", "2025-11-25"])(
    "a %s client gets its version and no session",
    async (version) => {
      const params = {
        protocolVersion: version,
        capabilities: {},
        clientInfo: { name: "raw", version: "1" },
      };
      const answer = await post(server.url, {}, { jsonrpc: "2.0", id: 1, method: "initialize", params });
      expect(answer).toMatchObject({ status: 200, sessionId: null, result: { protocolVersion: version } });
    },
  );

  it("a 2025 client is promised nothing that needs a session", async () => {
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "raw", version: "1" },
    };
    const { result } = await sendLegacy(server.url, { method: "initialize", params });
    expect(result?.["capabilities"]).toEqual({ tools: {}, resources: {} });
    for (const method of ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"]) {
      const answer = await sendLegacy(server.url, { method, params: { level: "debug", uri: "a:b" } });
      expect(answer.error).toMatchObject({ code: -32601 });
    }
  });

  it("a 2026 client is promised list changes and logging, privately and without a cache", async () => {
    const { result } = await sendModern(server.url, { method: "server/discover" });
    expect(result).toMatchObject({
      resultType: "complete",
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: { listChanged: true }, logging: {}, resources: {} },
      cacheScope: "private",
      ttlMs: 0,
    });
  });

  it("a session id of former times is ignored", async () => {
    const answer = await sendLegacy(server.url, callTool("reflect"), { "mcp-session-id": "stale" });
    expect(answer).toMatchObject({ status: 200, sessionId: null, result: { content: [] } });
  });

  it.each(["GET", "DELETE"])("%s is answered with 405", async (method) => {
    const response = await fetch(server.url, { method, headers: { accept: "text/event-stream" } });
    expect(response.status).toBe(405);
    await response.body?.cancel();
  });
});

describe("what is refused", () => {
  it("a 2026 header that names another tool than the body", async () => {
    const answer = await sendModern(server.url, callTool("reflect"), { "mcp-name": "crash" });
    expect(answer).toMatchObject({ status: 400, error: { code: -32020 } });
  });

  it("a revision that nobody knows", async () => {
    const meta = { "io.modelcontextprotocol/protocolVersion": "2099-01-01" };
    const answer = await sendModern(server.url, callTool("reflect", meta), {
      "mcp-protocol-version": "2099-01-01",
    });
    expect(answer).toMatchObject({
      status: 400,
      error: { code: -32022, data: { supported: ["2026-07-28"] } },
    });
  });

  it("an unknown method, with the server's own error in both eras and 404 in 2026", async () => {
    const error = { code: -32601, message: "no acme/foo here", data: { method: "acme/foo" } };
    expect(await sendLegacy(server.url, { method: "acme/foo" })).toMatchObject({ status: 200, error });
    expect(await sendModern(server.url, { method: "acme/foo" })).toMatchObject({ status: 404, error });
  });

  it("a batch, a body that is not JSON, and one that is not declared as JSON", async () => {
    const message = { jsonrpc: "2.0", id: 1, ...callTool("reflect") };
    expect(await post(server.url, {}, [message, message])).toMatchObject({
      status: 400,
      error: { code: -32600 },
    });
    expect(await post(server.url, {}, "{")).toMatchObject({ status: 400, error: { code: -32700 } });
    expect(await post(server.url, { "content-type": "text/plain" }, message)).toMatchObject({ status: 415 });
  });

  it("a body over 4 MiB, without harm to the next request", async () => {
    const request = sendLegacy(server.url, callTool("reflect", { blob: "x".repeat(5 * 1024 * 1024) }));
    // Refused while the client still sends, so that the answer may be lost in the closing connection.
    const status = await request.then((answer) => answer.status).catch(() => "closed");
    expect([413, "closed"]).toContain(status);
    expect(await sendLegacy(server.url, callTool("reflect"))).toMatchObject({ status: 200 });
  });
});

describe("what passes", () => {
  it("requests arrive as the client sent them, under an id of the adapter's own", async () => {
    const meta = {
      progressToken: "mine",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };
    for (const send of [sendLegacy, sendModern]) {
      const { result } = await send(server.url, callTool("reflect", meta));
      expect(result).toMatchObject({
        structuredContent: {
          message: {
            id: expect.any(Number),
            params: { name: "reflect", arguments: {}, _meta: { ...meta, progressToken: expect.any(Number) } },
          },
        },
      });
    }
  });

  it("progress comes before the result, with the client's own token", async () => {
    for (const send of [sendLegacy, sendModern]) {
      const { notifications, result } = await send(server.url, callTool("report", { progressToken: "mine" }));
      expect(notifications).toMatchObject([
        { method: "notifications/progress", params: { progressToken: "mine", progress: 1, total: 2 } },
      ]);
      expect(result).toMatchObject({ content: [] });
    }
  });

  it("log messages come to a 2026 client that asked for their level, and to no other", async () => {
    const { notifications } = await sendModern(server.url, callTool("report", logLevel("info")));
    expect(notifications).toMatchObject([
      { method: "notifications/message", params: { data: "halfway there" } },
    ]);
    expect(await sendModern(server.url, callTool("report", logLevel("error")))).toMatchObject({
      notifications: [],
    });
    expect(await sendModern(server.url, callTool("report"))).toMatchObject({ notifications: [] });
    expect(await sendLegacy(server.url, callTool("report"))).toMatchObject({ notifications: [] });
  });

  it("a list change reaches the 2026 clients that listen", async () => {
    let changes = 0;
    const client = new Client({ name: "test", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
    await client.connect(new StreamableHTTPClientTransport(server.url));
    client.setNotificationHandler("notifications/tools/list_changed", () => void changes++);
    const subscription = await client.listen({ toolsListChanged: true });
    await client.callTool({ name: "changeTools", arguments: {} });
    await until("the change", () => changes > 0);
    expect(changes).toBe(1);
    await subscription.close();
    await client.close();
  });

  it("the server's own requests are refused, except ping", async () => {
    const asked = await sendLegacy(server.url, callTool("ask"));
    expect(asked.result).toMatchObject({ structuredContent: { answer: { error: { code: -32601 } } } });
    const pinged = await sendLegacy(server.url, callTool("pingBack"));
    expect(pinged.result).toMatchObject({ structuredContent: { answer: { result: {} } } });
  });

  it("what the server prints to standard error is passed on line by line, long lines in pieces", async () => {
    await sendLegacy(server.url, callTool("longLog"));
    await until("the line", () => server.log.filter((line) => line.startsWith("yyy")).length === 3);
    const pieces = server.log.filter((line) => line.startsWith("yyy"));
    expect(pieces.map(({ length }) => length)).toEqual([16_384, 16_384, 7_232]);
  });
});

describe("what goes wrong", () => {
  it.each([
    { era: "2025-11-25", send: sendLegacy },
    { era: "2026-07-28", send: sendModern },
  ])("a $era client that closes its response cancels the call at the server", async ({ send }) => {
    const before = server.log.length;
    const since = () => server.log.slice(before);
    const leaving = new AbortController();
    const answer = send(server.url, callTool("hang"), {}, leaving.signal);
    await until("the call", () => since().some((line) => line.startsWith("hanging ")));
    leaving.abort();
    await expect(answer).rejects.toThrow("aborted");
    const id = since()
      .find((line) => line.startsWith("hanging "))
      ?.split(" ")[1];
    await until("its cancellation", () => since().includes(`cancelled ${id}`));
  });

  it("lines that are no messages are logged and skipped", async () => {
    const answer = await sendLegacy(server.url, callTool("garbage"));
    expect(answer.result).toMatchObject({ content: [] });
    await until("the log", () => server.log.some((line) => line.includes("Debugger attached.")));
  });

  it("an answer over the limit fails the call that asked for it, by name, and no other", async () => {
    const before = server.log.length;
    const leaving = new AbortController();
    const other = sendLegacy(server.url, callTool("hang"), {}, leaving.signal);
    let otherAnswered = false;
    other.then(() => (otherAnswered = true)).catch(() => {});
    await until("the other call", () => server.log.slice(before).some((line) => line.startsWith("hanging ")));
    const answer = await sendLegacy(server.url, callTool("huge"));
    expect(answer.error?.message).toMatch(/over 16777216 bytes; ask it for less/);
    expect(otherAnswered).toBe(false);
    leaving.abort();
    await expect(other).rejects.toThrow("aborted");
    expect(await sendLegacy(server.url, callTool("reflect"))).toHaveProperty("result");
  });

  it("an answer over the limit that names no call fails all open ones instead of letting them hang", async () => {
    const answer = await sendLegacy(server.url, callTool("hugeWithoutId"));
    expect(answer.error?.message).toMatch(/over 16777216 bytes/);
  });
});
