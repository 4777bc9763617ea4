import { readFile } from "node:fs/promises";

import { bundles } from "@minimcp/connectors";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { eventually } from "../security/support/eventually.ts";
import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { query } from "../support/call.ts";
import {
  addType,
  callTool,
  createInstance,
  echo,
  findBundle,
  type Instance,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

let product: Product;
let user: Account;

beforeAll(async () => {
  product = await startProduct({ findBundle });
  user = await createUser(product, await createAdmin(product));
  await addType(product, "plain");
  await addType(product, "crashing", { bundle: "fixture-crash" });
  await addType(product, "exiting", { bundle: "fixture-exit" });
  await addType(product, "missing", { bundle: "nowhere" });
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

// oxlint-disable-next-line typescript/no-explicit-any -- the view of an instance, of which each test reads a part
async function view({ id }: Instance): Promise<any> {
  return (await query(product.api.url, "mcp.get", { id }, { token: user.token })).data;
}

async function waitForState(instance: Instance, state: string, withinMs: number): Promise<void> {
  await eventually(withinMs, async () => (await view(instance)).state === state);
}

describe("a start", () => {
  test("is in the audit trail with the isolation that it really has, each one again", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    await waitForState(instance, "ready", 10_000);
    const { isolation } = await view(instance);
    const starts = async () =>
      await run(
        product.database.ownerUrl,
        `select user_id, new_value->'isolation' as isolation from audit.events
         where action = 'instance.start' and resource_id = $1`,
        [instance.id],
      );
    expect(isolation.level).toBe(product.worker?.isolation.level);
    expect(await starts()).toEqual([{ user_id: null, isolation }]);
    for (const pid of await processesOf(instance.id)) process.kill(pid, "SIGKILL");
    await eventually(10_000, async () => (await starts()).length === 2);
  });

  test("lets calls that come early wait, answers every one of them, and shows in the state", async () => {
    const instance = await createInstance(product, user);
    expect(["requested", "starting"]).toContain((await view(instance)).state);
    await Promise.all(Array.from({ length: 20 }, () => echo(instance)));
    const ready = await view(instance);
    expect(ready).toMatchObject({ state: "ready", endReason: null, failure: null });
    expect(ready.readyAt).toBeInstanceOf(Date);
    const commands = await Promise.all(
      (await processesOf(instance.id)).map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8")),
    );
    // As its bundle wants it: without a bound of its own, V8 would size the heap by the memory of the host.
    for (const flag of bundles.everything.nodeArgs) {
      expect(commands.map((command) => command.split("\0"))).toContainEqual(expect.arrayContaining([flag]));
    }
  });

  test("gives the server no token, no cookie, no environment and no arguments but its own", async () => {
    await addType(product, "configured", {
      bundle: "fixture-plain",
      config: {
        depth: { description: "How deep.", argument: "--depth" },
        width: { description: "How wide.", argument: "--width" },
      },
    });
    const instance = await createInstance(product, user, {
      type: "configured",
      config: { depth: "3; rm -rf / #", width: "$(id) 'x' \"y\"" },
    });
    const answer = await callTool(instance, "look", {}, { headers: { cookie: "session=1" } });
    const { result } = (await answer.json()) as {
      result: { arguments: string[]; environment: Record<string, string>; headers: Record<string, string> };
    };
    expect(result.arguments.toSorted()).toEqual([
      "--depth=3; rm -rf / #",
      "--width=$(id) 'x' \"y\"",
      "plain",
    ]);
    // What Node itself is started with; without namespaces also where it may write.
    const { NODE_OPTIONS: _, TMPDIR: _tmp, ...declared } = result.environment;
    expect(declared).toEqual({ NODE_ENV: "production", MCP_ID: instance.id });
    expect(Object.keys(result.headers)).not.toContain("authorization");
    expect(Object.keys(result.headers)).not.toContain("cookie");
    expect(JSON.stringify(result)).not.toContain(instance.token);
  });

  test("that names a server which the node lacks fails with a sentence, and the token says so", async () => {
    const instance = await createInstance(product, user, { type: "missing" });
    await waitForState(instance, "failed", 3_000);
    expect((await view(instance)).failure).toBe("The node does not have the server of this type.");
    const refused = await send(instance, "ping");
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ reason: "failed" });
  });

  test("by a catalogue entry that nobody can read fails, and keeps nothing else from starting", async () => {
    await addType(product, "spoilt");
    const spoilt = await createInstance(product, user, { type: "spoilt" });
    await waitForState(spoilt, "ready", 5_000);
    // As if a newer version had written it: the instance is claimed anew, and cannot be read.
    await run(product.database.ownerUrl, "update server_types set declaration = '{}' where id = 'spoilt'");
    await run(
      product.database.ownerUrl,
      "update instances set node_id = null, lease_until = null, state = 'requested' where id = $1",
      [spoilt.id],
    );
    const next = await createInstance(product, user, { type: "plain" });
    expect((await send(next, "ping")).status).toBe(200);
    await eventually(3_000, async () => (await stateOf(spoilt)) === "failed");
    expect(await processesOf(spoilt.id)).toEqual([]);
    await run(product.database.ownerUrl, "delete from instances where type_id = 'spoilt'");
    await run(product.database.ownerUrl, "delete from server_types where id = 'spoilt'");
  });
});

/** The view cannot be read while its type cannot. */
async function stateOf({ id }: Instance): Promise<string | undefined> {
  const [row] = await run<{ state: string }>(
    product.database.ownerUrl,
    "select state from instances where id = $1",
    [id],
  );
  return row?.state;
}

describe("a server whose type has a limit of its own", () => {
  const limits = { memoryMiB: 256 };

  test("is held to it by the kernel", async () => {
    await addType(product, "small", { limits });
    const instance = await createInstance(product, user, { type: "small" });
    expect((await send(instance, "ping")).status).toBe(200);
    const held = await Promise.all(
      (await processesOf(instance.id)).map((pid) => readFile(`/proc/${pid}/limits`, "utf8")),
    );
    const megabytes = held.map((text) => Number(/^Max data size\s+(\d+)/m.exec(text)?.[1]) / 2 ** 20);
    // Beside its memory, what Node takes by itself.
    expect(new Set(megabytes)).toEqual(new Set([256 + 544]));
  });

  test("ends when it takes more, and its owner reads how much it may have", async () => {
    await addType(product, "greedy", { bundle: "fixture-greedy", limits });
    const instance = await createInstance(product, user, { type: "greedy" });
    await eventually(20_000, async () => (await view(instance)).endReason === "memory");
    expect((await view(instance)).failure).toContain("It took more than its 256 MB of memory.");
  });
});

describe("a server that dies", () => {
  test("is started again, and a call that comes meanwhile waits for it", async () => {
    const instance = await createInstance(product, user, { type: "plain" });
    expect((await send(instance, "ping")).status).toBe(200);
    const died = await callTool(instance, "die");
    expect(died.status).toBe(502);
    await eventually(1_000, async () => (await view(instance)).state === "starting");
    expect((await send(instance, "ping")).status).toBe(200);
    expect(await view(instance)).toMatchObject({ state: "ready" });
  });

  test("after each start ends in a crash loop, with growing pauses, and one that never answered has failed", async () => {
    const startedAt = performance.now();
    const [crashing, exiting] = await Promise.all([
      createInstance(product, user, { type: "crashing" }),
      createInstance(product, user, { type: "exiting" }),
    ]);
    await Promise.all([waitForState(crashing, "ended", 28_000), waitForState(exiting, "failed", 28_000)]);
    // 1 + 2 + 4 + 8 seconds lie between five starts.
    expect(performance.now() - startedAt).toBeGreaterThan(15_000);
    const crashed = await view(crashing);
    expect(crashed).toMatchObject({ endReason: "crashLoop" });
    expect(crashed.failure).toBe(
      "Its process ended by itself (code 9). It was started 5 times. Its log may tell why; create a new one when that is mended.",
    );
    expect(await view(exiting)).toMatchObject({ failure: "Its process ended before it answered." });
    const starts = await run<{ starts: number }>(
      product.database.ownerUrl,
      "select starts from instances where id = any($1)",
      [[crashing.id, exiting.id]],
    );
    expect(starts).toEqual([{ starts: 5 }, { starts: 5 }]);
    expect(await (await send(crashing, "ping")).json()).toMatchObject({ reason: "crashLoop" });
    const receipt = await query(product.api.url, "mcp.receipt", { id: crashing.id }, { token: user.token });
    expect(receipt.data).toMatchObject({ final: true, endReason: "crashLoop", incomplete: false });
  });
});
