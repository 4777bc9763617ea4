import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { bundles } from "@minimcp/connectors";
import type { ServerBundle } from "@minimcp/worker/start";

import { run } from "./sql.ts";
import type { Account } from "./accounts.ts";
import { mutate } from "./call.ts";

export interface Instance {
  id: string;
  endpoint: string;
  token: string;
}

/** An instance as its owner makes one. */
export async function createInstance(
  product: { api: { url: string } },
  owner: Account,
  input: object = {},
): Promise<Instance> {
  const created = await mutate(
    product.api.url,
    "mcp.create",
    { type: "everything", expirationMinutes: 5, ...input },
    { token: owner.token },
  );
  if (created.data === undefined) throw new Error(`mcp.create answered ${created.status}: ${created.text}`);
  const { instance, accessToken, endpoint } = created.data;
  return { id: instance.id, endpoint, token: accessToken };
}

export interface SendOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** One message as an MCP client of 2025-11-25 would send it. */
export async function send(
  { endpoint, token }: Pick<Instance, "endpoint" | "token">,
  method: string,
  params: object = {},
  { signal, headers }: SendOptions = {},
): Promise<Response> {
  return await fetch(endpoint, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2025-11-25",
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    ...(signal === undefined ? {} : { signal }),
  });
}

export async function callTool(
  instance: Pick<Instance, "endpoint" | "token">,
  name: string,
  args: object = {},
  options: SendOptions = {},
): Promise<Response> {
  return await send(instance, "tools/call", { name, arguments: args }, options);
}

/** Calls `echo` of the reference server. @throws when it does not answer */
export async function echo(instance: Pick<Instance, "endpoint" | "token">): Promise<void> {
  const answer = await callTool(instance, "echo", { message: "hello" });
  const text = await answer.text();
  if (answer.status !== 200 || !text.includes("Echo: hello")) {
    throw new Error(`echo answered ${answer.status}: ${text}`);
  }
}

/** Host pids of everything that runs inside the sandbox of an instance. */
export async function processesOf(instanceId: string): Promise<number[]> {
  const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger);
  const inside = await Promise.all(
    pids.map(async (pid) => {
      // A zombie has no environment any more.
      const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
      return environment.split("\0").includes(`MCP_ID=${instanceId}`);
    }),
  );
  return pids.filter((_, index) => inside[index]);
}

/** Moves the deadline of an instance and of its tokens, since the shortest lifetime there is takes a minute. */
export async function moveDeadline(
  product: { database: { ownerUrl: string } },
  id: string,
  inMs: number,
): Promise<void> {
  for (const [table, key] of [
    ["instances", "id"],
    ["instance_tokens", "instance_id"],
  ]) {
    await run(
      product.database.ownerUrl,
      `update ${table} set expires_at = clock_timestamp() + make_interval(secs => $2) where ${key} = $1`,
      [id, inMs / 1_000],
    );
  }
}

/** A server that shows what it sees and behaves as its argument says; see the fixture. */
function fixtureBundle(behaviour: string): ServerBundle {
  const directory = fileURLToPath(new URL("../fixtures/server", import.meta.url));
  return { directory, entry: "server.js", args: [behaviour] };
}

/** The servers of the product, and those of the tests: `hostile`, `answering`, and by behaviour `fixture-<behaviour>`. */
export function findBundle(name: string): ServerBundle | undefined {
  if (name === "everything") return bundles.everything;
  if (name === "hostile" || name === "answering") {
    const directory = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
    return { directory, entry: "server.js", args: [] };
  }
  const behaviour = /^fixture-(.+)$/.exec(name)?.[1];
  return behaviour === undefined ? undefined : fixtureBundle(behaviour);
}

/** A type of the catalogue that no migration brought. */
export async function addType(
  product: { database: { ownerUrl: string } },
  id: string,
  {
    provider,
    ...more
  }: { bundle?: string; provider?: string; config?: object; [part: string]: unknown } = {},
): Promise<void> {
  const declaration = {
    id,
    version: "1",
    title: id,
    description: "A type of the tests.",
    bundle: "fixture-plain",
    tools: [],
    config: {},
    ...(provider === undefined ? {} : keyed(provider)),
    ...more,
  };
  await run(
    product.database.ownerUrl,
    "insert into server_types (id, version, declaration) values ($1, '1', $2)",
    [id, JSON.stringify(declaration)],
  );
}

/** What a type declares that needs a key of this provider. */
function keyed(provider: string): object {
  return {
    egress: [{ host: "api.example.com", port: 443, methods: ["GET"], pathPrefixes: ["/"] }],
    credential: {
      provider,
      requirement: "Any key of the tests.",
      inject: { scheme: "bearer", hosts: ["api.example.com"] },
      placeholder: null,
    },
  };
}
