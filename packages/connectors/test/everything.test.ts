import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, it } from "vitest";

import { sendLegacy, sendModern } from "./support/raw-client.ts";
import type { RawRequest } from "./support/raw-client.ts";
import { runServer } from "./support/run-server.ts";
import type { RunningServer } from "./support/run-server.ts";

interface Message {
  id?: number;
  result?: unknown;
  error?: unknown;
}

/** The server as npm installed it, spoken to over stdio without anything between. */
class DirectServer {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #lastId = 0;

  constructor() {
    const script = fileURLToPath(
      import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"),
    );
    this.#child = spawn(process.execPath, [script, "stdio"], { stdio: ["pipe", "pipe", "ignore"] });
    // Not readline: it also ends a line at U+2028, which JSON leaves as it is.
    let text = "";
    this.#child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const message: Message = JSON.parse(line);
        if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      }
    });
  }

  async initialize(): Promise<void> {
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "raw", version: "1" },
    };
    await this.send({ method: "initialize", params });
    this.#child.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  }

  async send(request: RawRequest): Promise<Message> {
    const id = ++this.#lastId;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...request })}\n`);
    return answer;
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}

let direct: DirectServer;
let server: RunningServer;
beforeAll(async () => {
  direct = new DirectServer();
  await direct.initialize();
  server = await runServer();
});
afterAll(async () => {
  direct.end();
  await server[Symbol.asyncDispose]();
});

const tool = (name: string, args: object = {}) => ({
  method: "tools/call",
  params: { name, arguments: args },
});
const requests: RawRequest[] = [
  { method: "tools/list" },
  { method: "prompts/list" },
  { method: "resources/list" },
  { method: "resources/templates/list" },
  tool("echo", { message: "grüß dich \u2028 😀" }),
  tool("echo", {}),
  tool("get-sum", { a: 2, b: 40 }),
  tool("get-tiny-image"),
  tool("get-annotated-message", { messageType: "error", includeImage: true }),
  tool("get-structured-content", { location: "Chicago" }),
  tool("get-resource-links", { count: 3 }),
  tool("trigger-long-running-operation", { duration: 0.1, steps: 2 }),
  tool("simulate-research-query", { topic: "x" }),
  tool("nope"),
  { method: "resources/read", params: { uri: "demo://resource/static/document/structure.md" } },
  { method: "resources/read", params: { uri: "demo://nowhere" } },
  { method: "prompts/get", params: { name: "simple-prompt" } },
  { method: "prompts/get", params: { name: "args-prompt", arguments: { city: "Oslo", state: "x" } } },
  { method: "prompts/get", params: { name: "nope" } },
  {
    method: "completion/complete",
    params: {
      ref: { type: "ref/prompt", name: "completable-prompt" },
      argument: { name: "department", value: "E" },
    },
  },
];

it.each(requests)("request %# ($method) gets the same answer as over stdio", async (request) => {
  const { result, error } = await direct.send(request);
  const legacy = await sendLegacy(server.url, request);
  expect({ result: legacy.result, error: legacy.error }).toEqual({ result, error });
  const modern = await sendModern(server.url, request);
  expect({ result: modern.result, error: modern.error }).toEqual({
    result: modernize(result, request),
    error,
  });
});

/** What 2026-07-28 adds to a result, and the one thing that it takes away: tasks. */
function modernize(result: unknown, { method }: RawRequest): unknown {
  if (typeof result !== "object" || result === null) return undefined;
  return {
    ...result,
    ...("tools" in result && Array.isArray(result.tools) && { tools: result.tools.map(withoutExecution) }),
    resultType: "complete",
    ...(/list|read/.test(method) && { ttlMs: 0, cacheScope: "private" }),
    _meta: {
      "io.modelcontextprotocol/serverInfo": expect.objectContaining({ name: "mcp-servers/everything" }),
    },
  };
}

function withoutExecution(listed: object): object {
  return Object.fromEntries(Object.entries(listed).filter(([key]) => key !== "execution"));
}
