import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import {
  addType,
  callTool,
  createInstance,
  findBundle,
  type Instance,
  moveDeadline,
  processesOf,
  send,
} from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";
import { connected, run } from "../support/sql.ts";
import { until } from "../support/until.ts";

/*
 * The disk of the database is full: it refuses what it would have to write, with SQLSTATE 53100.
 */

describe("a database without room", { timeout: 60_000 }, () => {
  let product: Product;
  let owner: Account;

  beforeAll(async () => {
    product = await startProduct({ findBundle });
    owner = await createAdmin(product);
    await addType(product, "plain");
  });

  afterAll(async () => {
    await product[Symbol.asyncDispose]();
  });

  /** Refuses every write to these tables, as PostgreSQL does when it cannot make a file longer. */
  async function withoutRoom(tables: readonly string[], work: () => Promise<void>): Promise<void> {
    await connected(product.database.ownerUrl, async (client) => {
      await client.query(`create or replace function no_room() returns trigger language plpgsql as $$
        begin raise sqlstate '53100' using message = 'could not extend file: No space left on device'; end $$`);
      for (const table of tables) {
        await client.query(
          `create trigger no_room before insert or update on ${table} for each statement execute function no_room()`,
        );
      }
      try {
        await work();
      } finally {
        for (const table of tables) await client.query(`drop trigger no_room on ${table}`);
      }
    });
  }

  async function create(type: string): Promise<Instance> {
    const instance = await createInstance(product, owner, { type });
    await until("it serves", async () => (await send(instance, "ping")).status === 200, 20_000);
    return instance;
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- the receipt of an instance, of which each test reads a part
  async function receiptOf({ id }: Instance): Promise<any> {
    return (await query(product.api.url, "mcp.receipt", { id }, { token: owner.token })).data;
  }

  async function rowOf({ id }: Instance) {
    const [row] = await run<{ state: string; starts: number; leaseSeconds: number }>(
      product.database.ownerUrl,
      `select state, starts, extract(epoch from lease_until - clock_timestamp())::float8 as "leaseSeconds"
       from instances where id = $1`,
      [id],
    );
    if (row === undefined) throw new Error("a created instance has a row");
    return row;
  }

  async function linesOf({ id }: Instance): Promise<{ position: number; bytes: number; text: string }[]> {
    return await run(
      product.database.ownerUrl,
      "select position::int, bytes, text from instance_log_lines where instance_id = $1 order by position",
      [id],
    );
  }

  test("with no room for what instances write, calls and leases go on, and what is lost is counted", async () => {
    const instance = await create("plain");
    const say = async (lines: string[], times = 1): Promise<void> => {
      expect((await callTool(instance, "say", { lines, times })).status).toBe(200);
    };
    await withoutRoom(["instance_log_lines"], async () => {
      await say(["the first that cannot be stored"]);
      // More than a child's ring keeps, so that the oldest must go.
      const flood = "x".repeat(1_000);
      const memory = process.memoryUsage().rss;
      for (let round = 0; round < 40; round += 1) await say([flood], 400);
      const { leaseSeconds } = await rowOf(instance);
      await until("the lease is renewed", async () => {
        await say(["on"]);
        return (await rowOf(instance)).leaseSeconds > Math.min(leaseSeconds, 8);
      });
      expect(process.memoryUsage().rss - memory).toBeLessThan(128 * 1024 * 1024);
      expect(await rowOf(instance)).toMatchObject({ state: "ready", starts: 1 });
    });
    await until("new lines are stored", async () => {
      await say(["there is room"]);
      return (await linesOf(instance)).some(({ text }) => text === "there is room");
    });
    const lines = await linesOf(instance);
    const kept = lines.reduce((sum, { bytes }) => sum + bytes, 0);
    // A line's position counts every byte before it: a reader is told what is not there.
    expect(lines.at(-1)?.position).toBeGreaterThan(kept + 1_000_000);
    const revoked = await mutate(product.api.url, "mcp.revoke", { id: instance.id }, { token: owner.token });
    expect(revoked.data).toMatchObject({ final: true, endReason: "revoked", incomplete: false });
  });

  test("with no room for rows and receipts, instances end on time, callers hear what to do, and nothing is missing later", async () => {
    const [due, revoked] = [await create("plain"), await create("plain")];
    await expect.poll(() => receiptOf(due), { timeout: 5_000 }).toMatchObject({ calls: 1 });
    const deadline = performance.now() + 2_500;
    await moveDeadline(product, due.id, 2_500);
    // The move made the node forget the token; it is known again before there is no room.
    expect((await send(due, "ping")).status).toBe(200);
    await withoutRoom(["instances", "receipts"], async () => {
      await until("it is gone", async () => (await processesOf(due.id)).length === 0, 8_000);
      expect(performance.now()).toBeLessThan(deadline + 1_000);
      expect((await send(due, "ping")).status).toBe(401);
      expect(await receiptOf(due)).toMatchObject({ final: false });
      for (const refused of [
        await mutate(product.api.url, "mcp.revoke", { id: revoked.id }, { token: owner.token }),
        await mutate(
          product.api.url,
          "mcp.create",
          { type: "plain", expirationMinutes: 1 },
          { token: owner.token },
        ),
      ]) {
        expect(refused.status).toBe(503);
        expect(refused.error).toMatchObject({ reason: "server.unavailable" });
        expect(refused.error?.message).toContain("Try again");
      }
      expect((await send(revoked, "ping")).status).toBe(200);
    });
    await expect
      .poll(() => receiptOf(due), { timeout: 10_000 })
      .toMatchObject({ final: true, endReason: "expired", incomplete: false, calls: 2 });
    const answer = await mutate(product.api.url, "mcp.revoke", { id: revoked.id }, { token: owner.token });
    expect(answer.data).toMatchObject({ final: true, endReason: "revoked", incomplete: false, calls: 2 });
  });
});
