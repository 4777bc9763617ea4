import { once } from "node:events";
import { request } from "node:http";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { isAlive, listDescendants, type RunningServer, runServer } from "./support/run-server.ts";
import { until } from "./support/until.ts";

const fixture = fileURLToPath(new URL("fixtures/tcp-server.ts", import.meta.url));

const hasOuterAddress = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ internal }) => !internal),
);

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function start(args: readonly string[] = []): Promise<RunningServer> {
  return runServer({ script: fixture, args, env: { PORT: String(await findFreePort()) } });
}

describe("a server that listens on TCP only", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const ask = async (path: string, init?: RequestInit) => await fetch(new URL(path, server.url), init);
  const countFlooded = async () => Number(await (await ask("/flooded")).text());

  it("is healthy as soon as it can be called, though it knows nothing of health", async () => {
    const health = await ask("/healthz");
    expect({ status: health.status, text: await health.text() }).toEqual({ status: 200, text: "ok\n" });
    const own = await ask("/healthz", { method: "POST" });
    expect(own.status).toBe(404);
  });

  it("gets requests as they were sent, and so do clients the answers", async () => {
    const body = '{"jsonrpc":"2.0", "id":1,"method":"tools/list"}';
    const headers = { "mcp-session-id": "mine", "MCP-Protocol-Version": "2025-11-25", "x-other": "1" };
    const answer = await ask("/mcp", { method: "POST", headers, body });
    expect(answer.headers.get("mcp-session-id")).toBe("a session");
    const seen = (await answer.json()) as { method: string; headers: string[]; body: string };
    expect(seen).toMatchObject({ method: "POST", body });
    expect(seen.headers).toEqual(expect.arrayContaining(Object.entries(headers).flat()));
    expect(seen.headers).toContain(server.url.host);
  });

  it("has its events delivered as they come, and hears when the reader leaves", async () => {
    const leaving = new AbortController();
    const stream = await ask("/stream", { signal: leaving.signal });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toBe("data: 1\n\n");
    await ask("/release");
    expect((await reader?.read())?.value).toBe("data: 2\n\n");
    leaving.abort();
    await expect(reader?.read()).rejects.toThrow("aborted");
    await until("the news", () => server.log.includes("the reader left"));
  });

  it("is held back while its client does not read", async () => {
    const download = request(new URL("/flood", server.url), { agent: false });
    download.end();
    const [response] = await once(download, "response");
    response.pause();
    let taken = 0;
    await until(
      "an end of the writing",
      async () => {
        const before = taken;
        taken = await countFlooded();
        return taken > 0 && taken === before;
      },
      20_000,
    );
    // The buffers of four sockets and as many streams.
    expect(taken).toBeLessThan(32 * 1024 * 1024);
    response.resume();
    await until("more of it", async () => (await countFlooded()) > taken * 2, 20_000);
    response.destroy();
  });

  it("has what it prints in the log", () => {
    expect(server.log).toContainEqual(expect.stringMatching(/^listening on \d+$/));
  });

  it("is not healthy any more when it stops to listen", async () => {
    await ask("/close");
    await expect.poll(async () => (await ask("/healthz")).status, { timeout: 5_000 }).toBe(503);
  });
});

describe("the end of a bridge", () => {
  it("comes with the end of its server, with the reason", async () => {
    await using server = await start();
    await fetch(new URL("/healthz", server.url));
    await expect(fetch(new URL("/crash", server.url))).rejects.toThrow("fetch failed");
    expect(await server.exited).toBe(1);
    expect(server.log.at(-1)).toBe("adapter: the server exited with code 3");
  });

  it("comes with a server that does not even start", async () => {
    await using server = await start(["fail"]);
    expect(await server.exited).toBe(1);
    expect(server.log.at(-1)).toBe("adapter: the server exited with code 4");
  });

  it.runIf(hasOuterAddress)(
    "PORT-5: comes with a server that listens on more than 127.0.0.1 where the host has other addresses",
    async () => {
      await using server = await start(["everywhere"]);
      expect(await server.exited).toBe(1);
      expect(server.log.at(-1)).toMatch(
        /^adapter: the server listens on \S+, where whoever reaches this host/,
      );
      await expect(fetch(new URL("/mcp", server.url))).rejects.toThrow("fetch failed");
    },
  );

  it("comes at once where somebody else has the port, and nobody gets its calls", async () => {
    const calls: unknown[] = [];
    const stranger = createServer((socket) => socket.on("data", (data) => calls.push(data))).listen(
      0,
      "127.0.0.1",
    );
    await once(stranger, "listening");
    const address = stranger.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    await using server = await runServer({ script: fixture, env: { PORT: String(port) } });
    await expect(fetch(new URL("/healthz", server.url))).rejects.toThrow("fetch failed");
    expect(await server.exited).toBe(1);
    expect(server.log.at(-1)).toBe(`adapter: something listens on 127.0.0.1:${port} already`);
    expect(calls).toEqual([]);
    stranger.close();
    await once(stranger, "close");
  });

  it.each(["SIGTERM", "the worker's death"])("comes with %s, and takes the server along", async (cause) => {
    await using server = await start();
    await fetch(new URL("/healthz", server.url));
    const pids = await listDescendants(server.process.pid ?? 0);
    expect(pids).toHaveLength(1);
    if (cause === "SIGTERM") server.process.kill("SIGTERM");
    else server.process.stdin?.end();
    expect(await server.exited).toBe(cause === "SIGTERM" ? 0 : 1);
    await until("no process", async () => !(await isAlive(pids[0] ?? 0)));
  });

  it.each([
    { env: { PORT: "none" }, reason: "PORT is a number from 1 to 65535" },
    { env: { MCP_RUNTIME: "deno" }, reason: 'MCP_RUNTIME is "node" or "other", not "deno"' },
    { env: { MCP_MEMORY_MIB: "much" }, reason: "MCP_MEMORY_MIB is a number of MiB" },
    { env: { MCP_EGRESS_SOCKET: "/x" }, reason: "come together: set both or neither" },
  ])("comes before its beginning with wrong settings: $reason", async ({ env, reason }) => {
    await using server = await runServer({ script: fixture, env });
    expect(await server.exited).toBe(1);
    expect(server.log.join("\n")).toContain(reason);
  });
});
