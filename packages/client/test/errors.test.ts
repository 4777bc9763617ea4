import { getEventListeners } from "node:events";

import { TRPCClientError } from "@trpc/client";
import { describe, expect, it } from "vitest";

import { createMiniMcpClient, isReason, MiniMcpError } from "../src/index.ts";
import { output, type Reaction, refusal, startStandIn } from "./stand-in.ts";

/** What a call of a server that reacts like this throws. */
async function failWith(reaction: Reaction, options: { timeoutMs?: number } = {}): Promise<MiniMcpError> {
  await using server = await startStandIn(() => reaction);
  const client = createMiniMcpClient({ url: server.url, ...options });
  const error: unknown = await client.mcp.get.query({ id: "x" }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(MiniMcpError);
  expect(error).not.toBeInstanceOf(TRPCClientError);
  if (!(error instanceof MiniMcpError)) throw new Error("the call did not fail");
  return error;
}

describe("a failed call", () => {
  it("carries the server's reason, sentence, request id and issues", async () => {
    const issues = [{ path: ["id"], message: "Invalid UUID" }];
    const error = await failWith(refusal("input.invalid", { issues }));
    expect(error).toMatchObject({
      name: "MiniMcpError",
      reason: "input.invalid",
      message: "refused for input.invalid",
      requestId: "req-1",
      httpStatus: 400,
      issues,
      retryAfterSeconds: undefined,
    });
    expect(isReason(error, "input.invalid")).toBe(true);
    expect(isReason(error, "mcp.notFound", "server.internal")).toBe(false);
    expect(isReason(new Error("input.invalid"), "input.invalid")).toBe(false);
  });

  it.each([
    ["a page", { status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html><p>Hello" }],
    ["a page that is not there", { status: 404, body: "<h1>Not found</h1>" }],
    ["other JSON", { status: 200, body: '{"hello":"world"}' }],
    ["an error of other JSON", { status: 400, body: '{"error":"bad"}' }],
    ["another tRPC server's output", { status: 200, body: '{"result":{"data":{"id":1}}}' }],
    [
      "another tRPC server's error",
      {
        status: 404,
        body: '{"error":{"json":{"message":"No procedure","code":-32004,"data":{"code":"NOT_FOUND","httpStatus":404}}}}',
      },
    ],
  ])("says that this is no MiniMCP server when the answer is %s", async (_, answer) => {
    const error = await failWith(answer);
    expect(error).toMatchObject({ reason: "client.incompatibleServer", httpStatus: answer.status });
    expect(error.message).toMatch(/is not the API of a MiniMCP server\. Check the url/);
  });

  it("tells an older server from a newer one", async () => {
    const older = await failWith(refusal("input.notFound"));
    expect(older.reason).toBe("client.incompatibleServer");
    expect(older.message).toMatch(/has no procedure mcp\.get: it is older than this client/);
    const { body, status } = refusal("server.internal");
    const newer = await failWith({ status, body: body.replaceAll("server.internal", "mcp.fromTheFuture") });
    expect(newer.reason).toBe("client.incompatibleServer");
    expect(newer.message).toMatch(/newer than this client and says: refused for mcp\.fromTheFuture/);
  });

  it("is a matter of the network when a proxy answers, the connection is cut, or nothing listens", async () => {
    expect(await failWith({ status: 502, body: "<h1>Bad gateway</h1>" })).toMatchObject({
      reason: "client.network",
      httpStatus: 502,
    });
    expect(await failWith("cut")).toMatchObject({ reason: "client.network" });
    const { url } = await (async () => {
      await using server = await startStandIn(() => "hang");
      return server;
    })();
    const error: unknown = await createMiniMcpClient({ url })
      .mcp.types.query()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: "client.network" });
    expect(String(error)).toContain("ECONNREFUSED");
  });

  it("ends after the timeout, and says so when a mutation's fate is unknown", async () => {
    expect(await failWith("hang", { timeoutMs: 50 })).toMatchObject({ reason: "client.timeout" });
    await using server = await startStandIn(() => "hang");
    const client = createMiniMcpClient({ url: server.url, timeoutMs: 50 });
    await expect(client.auth.signOut.mutate()).rejects.toThrow(/within 50 ms. Whether it was carried out/);
  });

  it("ends with an abort, before and during the call, and keeps its reason", async () => {
    await using server = await startStandIn(() => "hang");
    const client = createMiniMcpClient({ url: server.url });
    const controller = new AbortController();
    const call = client.mcp.types.query(undefined, { signal: controller.signal });
    await expect.poll(() => server.calls.length).toBe(1);
    controller.abort("enough");
    await expect(call).rejects.toMatchObject({ reason: "client.aborted", cause: "enough" });
    await expect(client.mcp.types.query(undefined, { signal: controller.signal })).rejects.toMatchObject({
      reason: "client.aborted",
    });
    expect(server.calls).toHaveLength(1);
  });

  it("blames the input that cannot be sent", async () => {
    const client = createMiniMcpClient({ url: "http://127.0.0.1:9" });
    const config = {
      get broken(): string {
        throw new Error("no value");
      },
    };
    await expect(client.mcp.create.mutate({ type: "a", expirationMinutes: 1, config })).rejects.toMatchObject(
      {
        reason: "input.invalid",
      },
    );
  });
});

describe("a client", () => {
  it("leaves no listener on the caller's signal", async () => {
    await using server = await startStandIn(() => output({ items: [] }));
    const client = createMiniMcpClient({ url: server.url });
    const { signal } = new AbortController();
    for (let calls = 0; calls < 20; calls += 1) await client.mcp.list.query({}, { signal });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("brings dates as dates", async () => {
    await using server = await startStandIn(() => output({ createdAt: new Date(7) }));
    const instance = await createMiniMcpClient({ url: server.url }).mcp.get.query({ id: "x" });
    expect(instance.createdAt).toEqual(new Date(7));
  });

  it("lives below a path, too", async () => {
    await using server = await startStandIn(() => output({ items: [] }));
    await createMiniMcpClient({ url: `${server.url}/some/where` }).mcp.list.query({});
    expect(server.calls[0]?.path).toBe("/some/where/trpc/mcp.list");
  });

  it.each(["127.0.0.1:5000", "ftp://127.0.0.1", ""])("refuses the url %j", (url) => {
    expect(() => createMiniMcpClient({ url })).toThrow(/url must be the http\(s\) address/);
  });
});
