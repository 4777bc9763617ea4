import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { bundles } from "@minimcp/connectors";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin } from "../support/accounts.ts";
import {
  addType,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  processesOf,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

/*
 * The official clients, unmodified, through the gateway: each revision of the protocol at one URL.
 */

let product: Product;
let owner: Account;
let everything: Instance;
let waiting: Instance;
let bundleDirectory: string;

beforeAll(async () => {
  bundleDirectory = await mkdtemp(join(tmpdir(), "minimcp-bundle-"));
  // The adapter of the product around a stdio server of the test.
  for (const file of ["server.js", "package.json"]) {
    await cp(join(bundles.everything.directory, file), join(bundleDirectory, file));
  }
  const fixture = fileURLToPath(new URL("../fixtures/server/stdio.js", import.meta.url));
  await cp(fixture, join(bundleDirectory, "stdio.cjs"));
  product = await startProduct({
    findBundle: (name) =>
      name === "waiting"
        ? { directory: bundleDirectory, entry: "server.js", args: ["stdio.cjs"] }
        : findBundle(name),
  });
  owner = await createAdmin(product);
  await addType(product, "waiting", { bundle: "waiting" });
  everything = await createInstance(product, owner);
  waiting = await createInstance(product, owner, { type: "waiting" });
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await rm(bundleDirectory, { recursive: true, force: true });
});

const clientInfo = { name: "minimcp-test", version: "1.0.0" };

function connectionTo({ endpoint, token }: Instance) {
  return {
    url: new URL(endpoint),
    options: { requestInit: { headers: { authorization: `Bearer ${token}` } } },
  };
}

async function connectLegacy(instance: Instance): Promise<LegacyClient> {
  const { url, options } = connectionTo(instance);
  const client = new LegacyClient(clientInfo);
  await client.connect(new LegacyTransport(url, options));
  return client;
}

async function connectModern(
  instance: Instance,
  options: ConstructorParameters<typeof ModernClient>[1] = { versionNegotiation: { mode: "auto" } },
): Promise<ModernClient> {
  const { url, options: transport } = connectionTo(instance);
  const client = new ModernClient(clientInfo, options);
  await client.connect(new ModernTransport(url, transport));
  return client;
}

const clients = [
  { name: "v1 (2025-11-25)", revision: "2025-11-25", connect: connectLegacy },
  { name: "v2 that negotiates (2026-07-28)", revision: "2026-07-28", connect: connectModern },
  {
    name: "v2 pinned to 2026-07-28",
    revision: "2026-07-28",
    connect: (instance: Instance) =>
      connectModern(instance, { versionNegotiation: { mode: { pin: "2026-07-28" } } }),
  },
  ...["2025-11-25", "2025-06-18", "2025-03-26"].map((revision) => ({
    name: `v2 that knows only ${revision}`,
    revision,
    connect: (instance: Instance) =>
      connectModern(instance, {
        versionNegotiation: { mode: "legacy" },
        supportedProtocolVersions: [revision],
      }),
  })),
];

describe.each(clients)("the client $name", ({ connect, revision }) => {
  test("speaks its revision, lists and calls tools, reads resources and prompts, and hears progress", async () => {
    const client = await connect(everything);
    try {
      if (client instanceof ModernClient) expect(client.getNegotiatedProtocolVersion()).toBe(revision);
      expect(client.getServerVersion()).toMatchObject({ name: "mcp-servers/everything" });
      const { tools } = await client.listTools();
      expect(tools.map(({ name }) => name)).toContain("echo");
      expect(await client.callTool({ name: "echo", arguments: { message: "hello" } })).toMatchObject({
        content: [{ type: "text", text: "Echo: hello" }],
      });
      const uri = "demo://resource/static/document/features.md";
      const { resources } = await client.listResources();
      expect(resources.map((resource) => resource.uri)).toContain(uri);
      expect((await client.readResource({ uri })).contents[0]).toMatchObject({ uri });
      const { prompts } = await client.listPrompts();
      expect(prompts.map(({ name }) => name)).toContain("args-prompt");
      const prompt = await client.getPrompt({ name: "args-prompt", arguments: { city: "Oslo" } });
      expect(JSON.stringify(prompt.messages)).toContain("Oslo");
      const heard: number[] = [];
      const onprogress = ({ progress }: { progress: number }): void => void heard.push(progress);
      const call = { name: "trigger-long-running-operation", arguments: { duration: 0.3, steps: 3 } };
      if (client instanceof ModernClient) await client.callTool(call, { onprogress });
      else await client.callTool(call, CallToolResultSchema, { onprogress });
      expect(heard).toEqual([1, 2, 3]);
    } finally {
      await client.close();
    }
  });

  test("that leaves in the middle of a call cancels it at the server", async () => {
    const [client, observer] = await Promise.all([connect(waiting), connect(waiting)]);
    try {
      await expect.poll(() => openCalls(observer), { timeout: 5_000 }).toBe("0");
      const call = client.callTool({ name: "wait", arguments: {} });
      const outcome = call.then(
        () => "answered",
        () => "cut",
      );
      await expect.poll(() => openCalls(observer), { timeout: 5_000 }).toBe("1");
      await client.close();
      expect(await outcome).toBe("cut");
      await expect.poll(() => openCalls(observer), { timeout: 5_000 }).toBe("0");
    } finally {
      await client.close();
      await observer.close();
    }
  });
});

test("a client of 2026-07-28 that aborts a call cancels it at the server, and goes on", async () => {
  const client = await connectModern(waiting);
  try {
    const leaving = new AbortController();
    const call = client.callTool({ name: "wait", arguments: {} }, { signal: leaving.signal });
    const outcome = call.then(
      () => "answered",
      () => "cut",
    );
    await expect.poll(() => openCalls(client), { timeout: 5_000 }).toBe("1");
    leaving.abort();
    expect(await outcome).toBe("cut");
    await expect.poll(() => openCalls(client), { timeout: 5_000 }).toBe("0");
  } finally {
    await client.close();
  }
});

async function openCalls(client: LegacyClient | ModernClient): Promise<string | undefined> {
  const answer = await client.callTool({ name: "waiting", arguments: {} });
  const [first] = answer.content as { text?: string }[];
  return first?.text;
}

test("an open subscription of 2026-07-28 keeps no instance alive, and is cut at the deadline", async () => {
  const instance = await createInstance(product, owner);
  const client = await connectModern(instance);
  try {
    const subscription = await client.listen({ toolsListChanged: true });
    let isOpen = true;
    const closed = subscription.closed.finally(() => {
      isOpen = false;
    });
    const deadline = performance.now() + 1_000;
    await moveDeadline(product, instance.id, 1_000);
    await client.callTool({ name: "echo", arguments: { message: "hello" } });
    expect(isOpen).toBe(true);
    await closed;
    expect(performance.now() - deadline).toBeGreaterThan(-50);
    expect(performance.now() - deadline).toBeLessThan(1_000);
    await expect.poll(() => processesOf(instance.id), { timeout: 1_000 }).toEqual([]);
  } finally {
    await client.close();
  }
});

test.each([clients[0], clients[1]])(
  "the client $name is told 401 once its instance has expired",
  async (entry) => {
    if (entry === undefined) throw new Error("there are clients");
    const { connect } = entry;
    const instance = await createInstance(product, owner);
    const client = await connect(instance);
    try {
      expect(await client.callTool({ name: "echo", arguments: { message: "hello" } })).toMatchObject({
        content: [{ text: "Echo: hello" }],
      });
      await moveDeadline(product, instance.id, 0);
      await expect
        .poll(
          () =>
            client.callTool({ name: "echo", arguments: { message: "hello" } }).then(
              () => "answered",
              (error: Error) => `${error.name}: ${error.message}`,
            ),
          { timeout: 2_000 },
        )
        .toMatch(/401|Unauthorized/);
      await expect(connect(instance)).rejects.toThrow(/401|Unauthorized/);
    } finally {
      await client.close();
    }
  },
);
