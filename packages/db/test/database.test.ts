import { randomUUID } from "node:crypto";
import { inspect } from "node:util";

import { eq, sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// @boundaries-ignore The database of a test is a copy made by the run's one server, which belongs to no room.
import { createTestDatabase, type TestDatabase } from "../../../test/support/database.ts";
import {
  type Database,
  type DatabaseActor,
  DatabaseQueryFailed,
  DatabaseUnavailable,
  openDatabase,
  type Transaction,
} from "../src/index.ts";
import { users } from "../src/schema/index.ts";
import { openSocketRelay } from "./support/socket-relay.ts";
import { until } from "./support/until.ts";

const system: DatabaseActor = { userId: null, scope: "system" };

let testDatabase: TestDatabase;
let owner: Database;
let observer: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  owner = openDatabase({ url: testDatabase.ownerUrl, applicationName: "owner" });
  observer = openDatabase({ url: testDatabase.apiUrl, applicationName: "observer" });
});

afterAll(async () => {
  await owner[Symbol.asyncDispose]();
  await observer[Symbol.asyncDispose]();
  await testDatabase.drop();
});

function open(options: Partial<Parameters<typeof openDatabase>[0]> = {}): Database {
  return openDatabase({ url: testDatabase.apiUrl, applicationName: "database.test", ...options });
}

function newUser(id: string): typeof users.$inferInsert {
  return { id, email: `${id}@example.org`, name: "Somebody", role: "user" };
}

function takeLock(tx: Transaction): Promise<unknown> {
  return tx.execute(sql`select pg_advisory_xact_lock(42)`);
}

async function readActor(tx: Transaction): Promise<unknown> {
  const { rows } = await tx.execute(
    sql`select current_setting('app.user_id', true) as user, current_setting('app.scope', true) as scope`,
  );
  return rows[0];
}

/** Asked as the same role: of another's sessions the server shows neither state nor wait. */
async function countSessions(condition: ReturnType<typeof sql>): Promise<number> {
  const { rows } = await observer.as(system, (tx) =>
    tx.execute<{ count: number }>(
      sql`select count(*)::int as count from pg_stat_activity where datname = current_database() and application_name = 'database.test' and ${condition}`,
    ),
  );
  return rows[0]?.count ?? 0;
}

describe("as(actor)", () => {
  test("the actor is set inside the transaction and gone from the next on the same connection", async () => {
    await using database = open({ maxConnections: 1 });
    const userId = randomUUID();
    expect(await database.as({ userId, scope: "user" }, readActor)).toEqual({ user: userId, scope: "user" });
    expect(await database.as(system, readActor)).toEqual({ user: "", scope: "system" });
    await expect(
      database.as({ userId, scope: "admin" }, async () => {
        throw new Error("rolled back");
      }),
    ).rejects.toThrow("rolled back");
    expect(await database.as(system, readActor)).toEqual({ user: "", scope: "system" });
  });

  test("row policies show a user nothing of another", async () => {
    await using database = open();
    const [alice, bob] = [randomUUID(), randomUUID()];
    await database.as(system, (tx) => tx.insert(users).values([alice, bob].map((id) => newUser(id))));
    const seen = await database.as({ userId: alice, scope: "user" }, (tx) =>
      tx.select({ id: users.id }).from(users),
    );
    expect(seen).toEqual([{ id: alice }]);
  });

  test.each([
    { userId: "x'; drop table users; --", scope: "user" },
    { userId: `${randomUUID()}'`, scope: "user" },
    { userId: randomUUID(), scope: "root'; --" },
  ])("an actor that is not of the closed form never reaches the server: %j", async (actor) => {
    await using database = open();
    // Calls from outside TypeScript's reach are what this check is for.
    const forged: DatabaseActor = JSON.parse(JSON.stringify(actor));
    await expect(database.as(forged, readActor)).rejects.toThrow(TypeError);
  });

  test("what work throws rolls everything back and reaches the caller as it is", async () => {
    await using database = open();
    const id = randomUUID();
    const failure = new Error("no");
    await expect(
      database.as(system, async (tx) => {
        await tx.insert(users).values(newUser(id));
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await database.as(system, (tx) => tx.select().from(users).where(eq(users.id, id)))).toEqual([]);
  });

  test("a failed statement inside a savepoint can be survived", async () => {
    await using database = open();
    const id = randomUUID();
    const row = newUser(id);
    const violated = await database.as(system, async (tx) => {
      await tx.insert(users).values(row);
      try {
        await tx.transaction((inner) => inner.insert(users).values(row));
        return undefined;
      } catch (error) {
        return error;
      }
    });
    expect(violated).toMatchObject({ cause: { code: "23505" } });
    expect(
      await database.as(system, (tx) => tx.select({ id: users.id }).from(users).where(eq(users.id, id))),
    ).toEqual([{ id }]);
  });

  test("a swallowed failure is not reported as a commit", async () => {
    await using database = open();
    await expect(
      database.as(system, async (tx) => {
        await tx.execute(sql`select 1 / 0`).catch(() => undefined);
        return "written";
      }),
    ).rejects.toThrow("rolled back: a statement failed and its error was swallowed");
  });

  test("a transaction kept past its end is refused and touches nobody else's", async () => {
    await using database = open({ maxConnections: 1 });
    const kept = await database.as({ userId: randomUUID(), scope: "admin" }, async (tx) => tx);
    await database.as(system, async () => {
      await expect(readActor(kept)).rejects.toSatisfy((error: Error) =>
        String(error.cause).includes("has ended"),
      );
    });
  });
});

describe("errors", () => {
  test("a refused statement tells its code and constraint, and neither parameters nor rows", async () => {
    await using database = open();
    const id = randomUUID();
    const row = { ...newUser(id), email: "canary@example.org" };
    const error: unknown = await database
      .as(system, async (tx) => {
        await tx.insert(users).values(row);
        await tx.insert(users).values(row);
      })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DatabaseQueryFailed);
    expect(error).toMatchObject({ code: "23505", table: "users", constraint: "users_pkey" });
    const everything = inspect(error, { depth: 10, showHidden: true });
    expect(everything).not.toContain("canary");
    expect(everything).not.toContain(id);
  });

  test("a role that owns nothing cannot create, drop, or read the server's files", async () => {
    await using database = open();
    for (const statement of [
      sql`drop table users`,
      sql`create table mine (id int)`,
      sql`select pg_read_file('/etc/passwd')`,
      sql`copy users to program 'cat'`,
      sql`set role minimcp_owner`,
    ]) {
      await expect(database.as(system, (tx) => tx.execute(statement))).rejects.toMatchObject({
        code: "42501",
      });
    }
  });
});

describe("limits", () => {
  test("the server itself cancels a statement that runs too long, and the connection serves on", async () => {
    await using database = open({ statementTimeoutMs: 200, maxConnections: 1 });
    await expect(database.as(system, (tx) => tx.execute(sql`select pg_sleep(60)`))).rejects.toMatchObject({
      name: "DatabaseUnavailable",
      reason: "timeout",
      retryable: true,
    });
    expect(await countSessions(sql`state <> 'idle'`)).toBe(0);
    expect(await countSessions(sql`true`)).toBe(1);
    await database.ping();
  });

  test("a lock that is not granted in time is a timeout", async () => {
    await using database = open({ lockTimeoutMs: 100 });
    await database.as(system, async (tx) => {
      await takeLock(tx);
      await expect(database.as(system, takeLock)).rejects.toMatchObject({
        reason: "timeout",
        retryable: true,
      });
    });
  });

  test("a transaction left idle is ended by the server, and its connection is not used again", async () => {
    await using database = open({ idleInTransactionTimeoutMs: 100, maxConnections: 1 });
    await expect(
      database.as(system, async (tx) => {
        await until("the session is gone", async () => (await countSessions(sql`true`)) === 0);
        await readActor(tx);
      }),
    ).rejects.toMatchObject({ reason: "connectionLost", retryable: true });
    await database.ping();
  });

  test("when every connection is busy, callers are told after the connect timeout, and then it recovers", async () => {
    await using database = open({ maxConnections: 1, connectTimeoutMs: 150 });
    const release = Promise.withResolvers<void>();
    const busy = database.as(system, () => release.promise);
    await expect(database.ping()).rejects.toMatchObject({ reason: "poolExhausted", retryable: true });
    release.resolve();
    await busy;
    await database.ping();
  });

  test("an aborted ping gives up at once", async () => {
    await using database = open({ maxConnections: 1 });
    const release = Promise.withResolvers<void>();
    const busy = database.as(system, () => release.promise);
    await expect(database.ping(AbortSignal.timeout(50))).rejects.toThrow("aborted due to timeout");
    release.resolve();
    await busy;
  });
});

describe("a connection that breaks", () => {
  test("before COMMIT: nothing was written, it may run again, and no connection is leaked", async () => {
    await using relay = await openSocketRelay(testDatabase.apiUrl);
    await using database = open({ url: relay.url, maxConnections: 1 });
    await expect(
      database.as(system, async (tx) => {
        relay.cut();
        await readActor(tx);
      }),
    ).rejects.toMatchObject({ name: "DatabaseUnavailable", reason: "connectionLost", retryable: true });
    await database.ping();
    await until(
      "the server has let go of the broken one",
      async () => (await countSessions(sql`true`)) === 1,
    );
  });

  test("while idle: the pool replaces it and says so", async () => {
    await using relay = await openSocketRelay(testDatabase.apiUrl);
    const noticed: Error[] = [];
    await using database = open({ url: relay.url, onError: (error) => noticed.push(error) });
    await database.ping();
    relay.cut();
    await until("the pool has noticed", () => noticed.length > 0);
    await expect(database.ping()).resolves.toBeUndefined();
    expect(noticed).toHaveLength(1);
  });

  test("at COMMIT: the outcome is unknown, so it must not be run again blindly", async () => {
    await using relay = await openSocketRelay(testDatabase.apiUrl);
    await using database = open({ url: relay.url });
    const id = randomUUID();
    relay.cutAfter("commit");
    const lost = database.as(system, (tx) => tx.insert(users).values(newUser(id)));
    await expect(lost).rejects.toMatchObject({ reason: "connectionLost", retryable: false });
    await until("the server has committed it after all", async () => {
      const found = await owner.as(system, (tx) => tx.select().from(users).where(eq(users.id, id)));
      return found.length === 1;
    });
  });

  test("nobody listening: cannotConnect, with the cause kept for the log", async () => {
    await using database = open({ url: testDatabase.apiUrl.replace("5432", "5433") });
    const error: unknown = await database.ping().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    expect(error).toMatchObject({ reason: "cannotConnect", retryable: true, cause: { code: "ENOENT" } });
  });

  test("a wrong password: cannotConnect", async () => {
    await using database = open({ url: testDatabase.apiUrl.replace(/:[^:@/]+@/, ":wrong@") });
    await expect(database.ping()).rejects.toMatchObject({
      reason: "cannotConnect",
      cause: { code: "28P01" },
    });
  });

  test("closing waits for transactions under way, then cuts them", async () => {
    const database = open({ closeTimeoutMs: 100 });
    const cut = database
      .as(system, (tx) => tx.execute(sql`select pg_sleep(60)`))
      .catch((thrown: unknown) => thrown);
    await until("it is under way", async () => (await countSessions(sql`wait_event = 'PgSleep'`)) === 1);
    await database[Symbol.asyncDispose]();
    expect(await cut).toMatchObject({ reason: "connectionLost", retryable: true });
    await until(
      "the server has noticed and ended the statement",
      async () => (await countSessions(sql`true`)) === 0,
    );
  });

  test("after closing: closed", async () => {
    const database = open();
    await database.ping();
    await database[Symbol.asyncDispose]();
    await expect(database.ping()).rejects.toMatchObject({ reason: "closed" });
  });
});
