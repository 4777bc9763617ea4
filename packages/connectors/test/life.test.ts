import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";

import { describe, expect, it } from "vitest";

import { FIXTURE } from "./support/fixture.ts";
import { sendLegacy, sendModern } from "./support/raw-client.ts";
import { isAlive, listDescendants, runServer } from "./support/run-server.ts";
import type { RunningServer } from "./support/run-server.ts";
import { until } from "./support/until.ts";

const callTool = (name: string) => ({ method: "tools/call", params: { name, arguments: { message: "hi" } } });

/** The program and all it started. */
async function listProcesses(server: RunningServer): Promise<number[]> {
  const { pid } = server.process;
  if (pid === undefined) throw new Error("the server did not start");
  return [pid, ...(await listDescendants(pid))];
}

async function expectGone(pids: readonly number[]): Promise<void> {
  const listSurvivors = async (): Promise<number[]> => {
    const alive = await Promise.all(pids.map(isAlive));
    return pids.filter((_, index) => alive[index]);
  };
  await expect.poll(listSurvivors, { timeout: 2_000 }).toEqual([]);
}

/** The main strokes of the pool's launch. */
function sandbox([node, ...rest]: readonly string[], directory: string): readonly [string, ...string[]] {
  const options = `--unshare-all --unshare-user --ro-bind /usr /usr --symlink usr/lib /lib
    --symlink usr/lib64 /lib64 --symlink usr/bin /bin --proc /proc --dev /dev --ro-bind ${node} /node
    --ro-bind ${directory} /app --chdir /app --remount-ro / --cap-drop ALL --die-with-parent --new-session
    -- prlimit --nproc=64 -- /node`;
  return ["/usr/bin/bwrap", ...options.split(/\s+/), ...rest];
}

describe("readiness", () => {
  it("a probe sent before there is anything to serve is answered as soon as there is", async () => {
    await using server = await runServer();
    const probe = await fetch(new URL("/healthz", server.url));
    expect(probe.status).toBe(200);
    expect(await sendLegacy(server.url, callTool("echo"))).toHaveProperty("result");
  });

  it("a wrapped server that cannot start ends the program without one healthy answer", async () => {
    await using server = await runServer({ script: "/nonexistent.js" });
    await expect(fetch(new URL("/healthz", server.url))).rejects.toThrow("fetch failed");
    expect(await server.exited).toBe(1);
    expect(server.log.at(-1)).toContain("the server did not start: The MCP server exited with code 1");
  });
});

describe("the adapter's end", () => {
  it("a dead worker ends everything at once, though the wrapped server ignores all signals it can", async () => {
    await using server = await runServer({ script: FIXTURE });
    await fetch(new URL("/healthz", server.url));
    const pids = await listProcesses(server);
    expect(pids).toHaveLength(2);
    server.process.stdin?.end();
    await expectGone(pids);
  });

  it("a worker that dies during the start leaves nothing either", async () => {
    await using server = await runServer({ script: FIXTURE });
    await until("the wrapped server", async () => (await listProcesses(server)).length === 2);
    const pids = await listProcesses(server);
    server.process.stdin?.end();
    await expectGone(pids);
    expect(await server.exited).toBe(1);
  });

  it("SIGTERM ends both quickly with code 0", async () => {
    await using server = await runServer();
    await fetch(new URL("/healthz", server.url));
    const pids = await listProcesses(server);
    server.process.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    await expectGone(pids);
  });

  it("SIGTERM answers open calls with an error, and ends a server that ignores it", async () => {
    await using server = await runServer({ script: FIXTURE });
    const open = sendLegacy(server.url, callTool("hang"));
    await until("the call", () => server.log.some((line) => line.startsWith("hanging ")));
    const pids = await listProcesses(server);
    server.process.kill("SIGTERM");
    expect(await open).toMatchObject({ error: { code: -32000, message: "The MCP server is being stopped" } });
    expect(await server.exited).toBe(0);
    await expectGone(pids);
  });

  it.each([
    { era: "2025-11-25", send: sendLegacy },
    { era: "2026-07-28", send: sendModern },
  ])(
    "a crash of the wrapped server answers all open $era calls and ends the program with 1",
    async ({ send }) => {
      await using server = await runServer({ script: FIXTURE });
      const open = send(server.url, callTool("hang"));
      await until("the call", () => server.log.some((line) => line.startsWith("hanging ")));
      const crash = send(server.url, callTool("crash"));
      const error = { code: -32000, message: expect.stringContaining("exited with code 3") };
      expect(await Promise.all([open, crash])).toMatchObject([{ error }, { error }]);
      expect(await server.exited).toBe(1);
    },
  );
});

describe("the adapter in a sandbox", () => {
  it("works under Node's permission model, with nothing to read but the bundle", async () => {
    await using server = await runServer({
      wrap: ([node, ...rest], directory) => {
        const permissions = ["--permission", "--allow-child-process", `--allow-fs-read=${directory}`];
        return [node, ...permissions, ...rest];
      },
    });
    const uri = "demo://resource/static/document/features.md";
    const { result } = await sendModern(server.url, { method: "resources/read", params: { uri } });
    expect(result).toMatchObject({ contents: [{ mimeType: "text/markdown" }] });
  });

  it.skipIf(!existsSync("/usr/bin/bwrap"))("works read-only with 64 processes and threads", async () => {
    await using server = await runServer({ wrap: sandbox });
    expect(await sendModern(server.url, callTool("echo"))).toMatchObject({
      result: { content: [{ text: "Echo: hi" }] },
    });
    const pids = await listProcesses(server);
    server.process.stdin?.end();
    await expectGone(pids);
  });

  it.each([
    { env: {}, heap: "--max-old-space-size=256" },
    { env: { MCP_MEMORY_MIB: "1024" }, heap: "--max-old-space-size=512" },
  ])("gives the wrapped server a heap of half its memory: $heap", async ({ env, heap }) => {
    await using server = await runServer({ env });
    await sendLegacy(server.url, callTool("echo"));
    const pids = await listDescendants(server.process.pid ?? 0);
    const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8")));
    expect(commands.flatMap((command) => command.split("\0"))).toContain(heap);
  });

  it("shows the wrapped server no environment but the declared one", async () => {
    await using server = await runServer();
    const declared = { NODE_ENV: "production", MCP_ID: "test" };
    expect(await sendLegacy(server.url, callTool("get-env"))).toMatchObject({
      result: { content: [{ text: JSON.stringify(declared, undefined, 2) }] },
    });
  });
});
