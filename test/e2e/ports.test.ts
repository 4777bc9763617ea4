import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { claimInstances, instancePorts, leasePort, type NodeIdentity, registerNode } from "@minimcp/core";
import { type Database, openDatabase } from "@minimcp/db";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { addIdleNode } from "../security/support/idle-node.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate } from "../support/call.ts";
import {
  addType,
  callTool,
  createInstance,
  findBundle,
  type Instance,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { run } from "../support/sql.ts";
import { makeToolPath } from "../support/tool-path.ts";

const none: ReadonlySet<number> = new Set();
const hasNamespaces = existsSync("/usr/bin/bwrap");

describe("ports of a node", () => {
  let product: Product;
  let db: Database;
  let user: Account;

  beforeAll(async () => {
    product = await startProduct({ worker: false });
    db = openDatabase({ url: product.database.workerUrl, applicationName: "ports" });
    user = await createUser(product, await createAdmin(product));
    await addIdleNode(product.database.ownerUrl);
    await run(product.database.ownerUrl, "update nodes set capacity = 1000");
  });

  afterAll(async () => {
    await db[Symbol.asyncDispose]();
    await product[Symbol.asyncDispose]();
  });

  /** A node that holds so many instances. */
  async function hold(count: number) {
    const node: NodeIdentity = { nodeId: randomUUID(), epoch: randomUUID() };
    await registerNode(db, node, { address: "http://127.0.0.1:1", isolation: {}, capacity: 0 });
    await Promise.all(Array.from({ length: count }, () => createInstance(product, user)));
    const claimed = await claimInstances(db, node, 1_000);
    expect(claimed).toHaveLength(count);
    return { node, claimed };
  }

  test("PORT-2: a hundred creates at once get a hundred ports, and the next one is refused for want of capacity", async () => {
    const { ownerUrl } = product.database;
    await run(ownerUrl, "update nodes set capacity = 100");
    const { node, claimed } = await hold(100);
    const [ports, refused] = await Promise.all([
      Promise.all(claimed.map((lease) => leasePort(db, node, lease, none))),
      mutate(
        product.api.url,
        "mcp.create",
        { type: "everything", expirationMinutes: 5 },
        { token: user.token },
      ),
    ]);
    expect(ports.toSorted((a, b) => (a ?? 0) - (b ?? 0))).toEqual(
      Array.from({ length: 100 }, (_, index) => instancePorts.first + index),
    );
    expect([refused.status, refused.error?.reason]).toEqual([503, "mcp.noCapacity"]);
    await run(ownerUrl, "update nodes set capacity = 1000");
  });

  test("are each leased once however many ask at a time, and there is none beyond the last", async () => {
    const { node, claimed } = await hold(101);
    const ports = await Promise.all(claimed.map((lease) => leasePort(db, node, lease, none)));
    const given = ports.filter((port) => port !== null).toSorted((a, b) => a - b);
    expect(given).toEqual(Array.from({ length: 100 }, (_, index) => instancePorts.first + index));
    expect(ports.filter((port) => port === null)).toHaveLength(1);

    // What is over has no port, without anybody's doing.
    const withPort = claimed[ports.indexOf(3050)];
    const without = claimed[ports.indexOf(null)];
    if (withPort === undefined || without === undefined) throw new Error("both were claimed");
    await run(
      product.database.ownerUrl,
      "update instances set state = 'ended', end_reason = 'revoked', ended_at = now() where id = $1",
      [withPort.instanceId],
    );
    expect(await leasePort(db, node, without, none)).toBe(3050);
  });

  test("are passed over where something else was found on them, and given up for another", async () => {
    const { node, claimed } = await hold(2);
    const [one, other] = claimed;
    if (one === undefined || other === undefined) throw new Error("both were claimed");
    expect(await leasePort(db, node, one, none)).toBe(3001);
    expect(await leasePort(db, node, one, new Set([3001, 3002]))).toBe(3003);
    expect(await leasePort(db, node, other, none)).toBe(3001);
  });

  test("PORT-3: of a node that was killed are free for its next life, and not for the former one", async () => {
    const { node, claimed } = await hold(1);
    const [lease] = claimed;
    if (lease === undefined) throw new Error("it was claimed");
    expect(await leasePort(db, node, lease, none)).toBe(3001);
    const next = { ...node, epoch: randomUUID() };
    await registerNode(db, next, { address: "http://127.0.0.1:1", isolation: {}, capacity: 0 });
    const [again] = await claimInstances(db, next, 10);
    expect(again?.instanceId).toBe(lease.instanceId);
    expect(again && (await leasePort(db, next, again, none))).toBe(3001);
    expect(await leasePort(db, node, lease, none)).toBeNull();
  });
});

describe("a server that can only listen on a port", () => {
  let directory: string;
  let stranger: Server;
  let product: Product;
  let user: Account;

  beforeAll(async () => {
    // Something of the host's own is on the first port, if nothing was already.
    stranger = createServer().listen(instancePorts.first, "127.0.0.1");
    await Promise.race([once(stranger, "listening"), once(stranger, "error")]).catch(() => undefined);
    directory = await mkdtemp(join(tmpdir(), "minimcp-tools-"));
    // Without bubblewrap there are no namespaces: servers share the network of the host.
    product = await startProduct({
      findBundle,
      environment: {
        INSTANCES_PER_NODE: "1000",
        // More than there are ports, so that these are what there is too little of.
        INSTANCE_UIDS: "22400-22599",
        SANDBOX_TOOL_PATH: await makeToolPath(directory, ["bwrap"]),
        MINIMUM_ISOLATION: "none",
      },
    });
    user = await createUser(product, await createAdmin(product));
    await addType(product, "tcp", { listens: "tcp" });
  });

  afterAll(async () => {
    await product[Symbol.asyncDispose]();
    stranger.close();
    await rm(directory, { recursive: true });
  });

  test("PORT-2: finds a node that takes no more instances than there are ports", async () => {
    expect(await run(product.database.ownerUrl, "select capacity from nodes")).toEqual([{ capacity: 100 }]);
  });

  test("PORT-1: is told one that nothing listens on, another for each instance, and none of them twice at a time", async () => {
    const made = [await createInstance(product, user, { type: "tcp" })];
    made.push(await createInstance(product, user, { type: "tcp" }));
    const ports = await Promise.all(made.map(portOf));
    expect(new Set(ports).size).toBe(2);
    for (const port of ports) {
      expect(port).toBeGreaterThan(instancePorts.first);
      expect(port).toBeLessThanOrEqual(instancePorts.last);
    }
    // On the host's loopback, and nowhere else.
    for (const { id } of made)
      expect(await listenersOf(id)).toEqual([expect.stringMatching(/^127\.0\.0\.1:3\d\d\d$/)]);
    // The port of one that is over goes to the next one.
    await mutate(product.api.url, "mcp.revoke", { id: made[0]?.id }, { token: user.token });
    expect(await portOf(await createInstance(product, user, { type: "tcp" }))).toBe(ports[0]);
  });
});

describe.runIf(hasNamespaces)("a server that can only listen on a port, in a network of its own", () => {
  test("PORT-6, PORT-5: listens nowhere on the host: it is reached through the gateway alone, which wants a token", async () => {
    await using product = await startProduct({ findBundle });
    const user = await createAdmin(product);
    await addType(product, "tcp", { listens: "tcp" });
    const instance = await createInstance(product, user, { type: "tcp" });
    expect(await portOf(instance)).toBeGreaterThan(0);
    expect(await listenersOf(instance.id)).toEqual([]);
    const stranger = await fetch(instance.endpoint, { method: "POST", body: "{}" });
    expect(stranger.status).toBe(401);
    expect((await send({ ...instance, token: "mcp_" }, "ping")).status).toBe(401);
  });
});

/** Where the processes of an instance listen, as the host sees it: proc_net_tcp(5). */
async function listenersOf(id: string): Promise<string[]> {
  const inodes = new Set<string>();
  for (const pid of await processesOf(id)) {
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined) inodes.add(inode);
    }
  }
  expect(inodes.size).toBeGreaterThan(0);
  const tables = await Promise.all(["tcp", "tcp6"].map((table) => readFile(`/proc/net/${table}`, "utf8")));
  return tables
    .flatMap((table) => table.split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode = ""]) => state === "0A" && inodes.has(inode))
    .map(([, local = ""]) => {
      const [address = "", port = ""] = local.split(":");
      const bytes = (address.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
      return `${bytes.length === 4 ? bytes.toReversed().join(".") : address}:${Number.parseInt(port, 16)}`;
    });
}

async function portOf(instance: Instance): Promise<number> {
  const answer = await callTool(instance, "look");
  const { result } = (await answer.json()) as { result: { environment: Record<string, string> } };
  return Number(result.environment["PORT"]);
}
