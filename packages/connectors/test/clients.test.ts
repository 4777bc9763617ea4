import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { runServer } from "./support/run-server.ts";
import type { RunningServer } from "./support/run-server.ts";
import { until } from "./support/until.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await runServer();
});
afterAll(() => server[Symbol.asyncDispose]());

async function connectLegacy(): Promise<LegacyClient> {
  const client = new LegacyClient({ name: "test", version: "1.0.0" });
  await client.connect(new LegacyTransport(server.url));
  return client;
}

async function connectModern(): Promise<ModernClient> {
  const client = new ModernClient(
    { name: "test", version: "1.0.0" },
    { versionNegotiation: { mode: "auto" } },
  );
  await client.connect(new ModernTransport(server.url));
  return client;
}

describe.each([
  { era: "2025-11-25", connect: connectLegacy },
  { era: "2026-07-28", connect: connectModern },
])("the official client of $era", ({ connect }) => {
  it("connects and learns who the wrapped server is", async () => {
    const client = await connect();
    expect(client.getServerVersion()).toMatchObject({ name: "mcp-servers/everything", version: "2.0.0" });
    expect(client.getInstructions()).toContain("Everything Server");
    await client.close();
  });

  it("lists and calls tools", async () => {
    const client = await connect();
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain("echo");
    expect(await client.callTool({ name: "echo", arguments: { message: "hello" } })).toMatchObject({
      content: [{ type: "text", text: "Echo: hello" }],
    });
    await client.close();
  });

  it("lists and reads resources", async () => {
    const client = await connect();
    const { resources } = await client.listResources();
    const uri = "demo://resource/static/document/features.md";
    expect(resources.map((resource) => resource.uri)).toContain(uri);
    const { contents } = await client.readResource({ uri });
    expect(contents[0]).toMatchObject({
      uri,
      mimeType: "text/markdown",
      text: expect.stringContaining("Tools"),
    });
    await client.close();
  });

  it("lists and gets prompts", async () => {
    const client = await connect();
    const { prompts } = await client.listPrompts();
    expect(prompts.map(({ name }) => name)).toContain("args-prompt");
    const prompt = await client.getPrompt({ name: "args-prompt", arguments: { city: "Oslo" } });
    expect(JSON.stringify(prompt.messages)).toContain("Oslo");
    await client.close();
  });

  it("gets a tool error for an unknown tool, and an error for an unknown prompt", async () => {
    const client = await connect();
    expect(await client.callTool({ name: "nope", arguments: {} })).toMatchObject({ isError: true });
    await expect(client.getPrompt({ name: "nope" })).rejects.toMatchObject({ code: -32602 });
    await client.close();
  });

  it("hears the progress of a long call", async () => {
    const client = await connect();
    const heard: number[] = [];
    const call = { name: "trigger-long-running-operation", arguments: { duration: 0.3, steps: 3 } };
    const onprogress = ({ progress }: { progress: number }): void => void heard.push(progress);
    const result =
      client instanceof ModernClient
        ? await client.callTool(call, { onprogress })
        : await client.callTool(call, CallToolResultSchema, { onprogress });
    expect(result).toMatchObject({ content: [{ text: expect.stringContaining("completed") }] });
    expect(heard).toEqual([1, 2, 3]);
    await client.close();
  });
});

it("the official client of 2026-07-28 finds that revision by itself", async () => {
  const client = await connectModern();
  expect(client.getNegotiatedProtocolVersion()).toBe("2026-07-28");
  await client.close();
});

it("20 clients at once, all counting their requests from 0, get their own answers and progress", async () => {
  const clients = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => (index % 2 === 0 ? connectLegacy() : connectModern())),
  );
  const answers = await Promise.all(
    clients.map(async (client, index) => {
      const steps = (index % 4) + 1;
      const heard: number[] = [];
      const onprogress = ({ progress, total }: { progress: number; total?: number | undefined }): void => {
        expect(total).toBe(steps);
        heard.push(progress);
      };
      const call = { name: "trigger-long-running-operation", arguments: { duration: 0.2, steps } };
      const [echo] = await Promise.all([
        client.callTool({ name: "echo", arguments: { message: `client ${index}` } }),
        client instanceof ModernClient
          ? client.callTool(call, { onprogress })
          : client.callTool(call, CallToolResultSchema, { onprogress }),
      ]);
      await until("all progress", () => heard.length === steps);
      return echo;
    }),
  );
  for (const [index, answer] of answers.entries()) {
    expect(answer).toMatchObject({ content: [{ text: `Echo: client ${index}` }] });
  }
  await Promise.all(clients.map((client) => client.close()));
});

it("a 2025-11-25 client runs a tool that works only as a task", async () => {
  const client = await connectLegacy();
  await client.listTools();
  const seen: string[] = [];
  const stream = client.experimental.tasks.callToolStream(
    { name: "simulate-research-query", arguments: { topic: "fjords" } },
    CallToolResultSchema,
    { task: { ttl: 60_000, pollInterval: 50 } },
  );
  for await (const message of stream) seen.push(message.type);
  expect(seen[0]).toBe("taskCreated");
  expect(seen.at(-1)).toBe("result");
  await client.close();
});
