import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { connected, dump, refusal, run } from "../support/sql.ts";

// The attack: whoever did something and got hold of a role of the product now wants it not to have happened, to have
// been somebody else, or to have happened when it did not. The audit trail grows at its end through one function, and
// who acts comes from the transaction. A superuser can still do anything: that is for signatures outside the database.

let database: TestDatabase;
const adaId = randomUUID();

beforeAll(async () => {
  database = await createTestDatabase();
  await append(database.apiUrl, adaId, "first");
});

afterAll(async () => {
  await database[Symbol.asyncDispose]();
});

const appendCall =
  "select audit.append($1, 'thing', 'id', null, '{\"a\":1}', 'success', null, '203.0.113.9', 'agent', 'req') as id";

async function append(url: string, userId: string | null, action: string): Promise<string> {
  return await connected(url, async (client) => {
    await client.query("begin");
    await client.query("select set_config('app.user_id', $1, true)", [userId ?? ""]);
    const { rows } = await client.query<{ id: string }>(appendCall, [action]);
    await client.query("commit");
    return rows[0]?.id ?? "";
  });
}

describe.each(["apiUrl", "workerUrl"] as const)("with the connection %s", (role) => {
  test.each([
    "insert into audit.events (id, \"timestamp\", action, resource_type, result) values (gen_random_uuid(), now(), 'x', 'x', 'success')",
    "update audit.events set action = 'nothing'",
    "delete from audit.events",
    "truncate audit.events",
    "alter table audit.events disable trigger all",
    "alter table audit.events rename to gone",
    "drop table audit.events",
    "drop trigger events_append_only on audit.events",
    "create or replace function audit.refuse_change() returns trigger language plpgsql as 'begin return new; end'",
    "select * from audit.events",
    "merge into audit.events e using (select 1) s on true when matched then delete",
    "with gone as (delete from audit.events returning 1) select 1",
    "copy audit.events from stdin",
    "begin; lock table audit.events in access exclusive mode",
  ])("no event can be made, read, changed or removed: %s", async (statement) => {
    expect((await refusal(database[role], statement))?.code).toBe("42501");
  });

  test("an event says who acted as the transaction says it, and when as the database does", async () => {
    const userId = randomUUID();
    const id = await append(database[role], userId, "thing.do");
    const [event] = await run(
      database.ownerUrl,
      `select user_id, action, resource_type, resource_id, old_value, new_value, host(ip_address) as ip, user_agent,
         result, error_message, request_id, abs(extract(epoch from now() - "timestamp")) < 10 as recent
       from audit.events where id = $1`,
      [id],
    );
    expect(event).toEqual({
      user_id: userId,
      action: "thing.do",
      resource_type: "thing",
      resource_id: "id",
      old_value: null,
      new_value: { a: 1 },
      ip: "203.0.113.9",
      user_agent: "agent",
      result: "success",
      error_message: null,
      request_id: "req",
      recent: true,
    });
  });

  test("an event of nobody says nobody", async () => {
    const id = await append(database[role], null, "thing.undo");
    expect(await run(database.ownerUrl, "select user_id from audit.events where id = $1", [id])).toEqual([
      { user_id: null },
    ]);
  });
});

test("no role of the product may write or change events, those that cannot sign in included", async () => {
  const granted = await run<{ role: string; privileges: string[] }>(
    database.ownerUrl,
    `select rolname as role, array_agg(privilege order by privilege) filter (
       where has_table_privilege(rolname, 'audit.events', privilege)) as privileges
     from pg_roles,
       unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as privilege
     where rolname in ('minimcp_api', 'minimcp_worker', 'minimcp_auditor', 'minimcp_archiver', 'minimcp_backup', 'public')
     group by 1 order by 1`,
  );
  expect(granted).toEqual([
    { role: "minimcp_api", privileges: null },
    { role: "minimcp_archiver", privileges: ["SELECT"] },
    { role: "minimcp_auditor", privileges: ["SELECT"] },
    { role: "minimcp_backup", privileges: ["SELECT"] },
    { role: "minimcp_worker", privileges: null },
  ]);
});

test("an event is there if and only if its transaction committed", async () => {
  await connected(database.apiUrl, async (client) => {
    await client.query("begin");
    await client.query(appendCall, ["rolled.back"]);
    await client.query("rollback");
  });
  expect(await run(database.ownerUrl, "select 1 from audit.events where action = 'rolled.back'")).toEqual([]);
});

test("a result that is none is refused", async () => {
  const statement = "select audit.append('a', 'b', null, null, null, 'perhaps', null, null, null, null)";
  expect((await refusal(database.apiUrl, statement))?.code).toBe("23514");
});

test("tables that an attacker puts in the way of the function's names are not used", async () => {
  await connected(database.apiUrl, async (client) => {
    await client.query("create temp table events (like pg_class)");
    await client.query("set search_path = pg_temp, public");
    await client.query(appendCall, ["past.the.decoy"]);
  });
  expect(
    await run(database.ownerUrl, "select 1 from audit.events where action = 'past.the.decoy'"),
  ).toHaveLength(1);
});

test.each([
  "update audit.events set action = 'nothing'",
  "delete from audit.events",
  "truncate audit.events",
])("even the tables' owner is stopped: %s", async (statement) => {
  const before = await dump(database.ownerUrl);
  const refused = await refusal(database.ownerUrl, statement);
  expect(refused).toEqual({ code: "42501", message: "audit events are append-only" });
  expect((await dump(database.ownerUrl)).get("audit.events")).toEqual(before.get("audit.events"));
  expect(before.get("audit.events")).not.toEqual([]);
});
