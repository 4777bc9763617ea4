import { randomUUID } from "node:crypto";

import type { PoolClient } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, createUser } from "../support/accounts.ts";
import { mutate } from "../support/call.ts";
import { type Product, startProduct } from "../support/product.ts";
import { addIdleNode } from "./support/idle-node.ts";
import { connected, openPool, refusal, run } from "../support/sql.ts";

// The attack: a hole in the code above, such as a query that forgot its owner, or an injection that runs statements of
// the attacker's choice as the API's or the worker's role. PostgreSQL itself must then give out no more than that role
// needs: no rows without a user, no row of another user, no sealed key to the API, and no way out of the role.

let product: Product;
let apiUrl: string;
let workerUrl: string;
let ownerUrl: string;
let ada: Account;
let bob: Account;

/** Tables whose rows belong to somebody. */
const owned = [
  "api_keys",
  "credentials",
  "instance_log_lines",
  "instance_tokens",
  "instances",
  "receipts",
  "refresh_tokens",
  "sessions",
  "user_data_keys",
  "users",
];

/** Tables without row policies, and why each can do without. */
const exempt: Record<string, string> = {
  invitations:
    "read before anybody is signed in, by the hash of a 256-bit code; holds no more than an address",
  nodes: "describes the machines of the installation; belongs to no user",
  port_leases: "which port of a node is taken; the API cannot even read it",
  server_types: "the catalogue, the same for everybody; the running roles can only read it",
  signing_keys:
    "belongs to the installation; its private half is wrapped by the keyring, which is not in the database",
};

beforeAll(async () => {
  product = await startProduct({ worker: false });
  ({ apiUrl, workerUrl, ownerUrl } = product.database);
  const admin = await createAdmin(product);
  [ada, bob] = await Promise.all([createUser(product, admin), createUser(product, admin)]);
  await addIdleNode(ownerUrl);
  for (const { token } of [ada, bob]) {
    await mutate(
      product.api.url,
      "apiKey.create",
      { provider: "github", label: "work", secret: "ghp_0123456789abcdef" },
      { token },
    );
    await mutate(product.api.url, "mcp.create", { type: "everything", expirationMinutes: 5 }, { token });
  }
  await run(
    ownerUrl,
    `insert into instance_log_lines select id, user_id, 1, 10, 10, now(), 'stderr', 'hello' from instances`,
  );
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
});

function ownerColumn(table: string): string {
  return table === "users" ? "id" : "user_id";
}

function countRows(table: string): string {
  return `select ${ownerColumn(table)} as owner, count(*)::int as count from ${table} group by 1`;
}

/** Begins as the product does: the user for this transaction only. */
async function beginAs(client: PoolClient, userId: string): Promise<void> {
  await client.query("begin");
  await client.query("select set_config('app.user_id', $1, true), set_config('app.scope', 'user', true)", [
    userId,
  ]);
}

describe("every table", () => {
  test("of the product has forced row policies, or stands in the list of those that need none", async () => {
    const tables = await run<{ name: string; enabled: boolean; forced: boolean }>(
      ownerUrl,
      `select relname as name, relrowsecurity as enabled, relforcerowsecurity as forced
       from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by relname`,
    );
    const walled = tables.filter((table) => table.enabled && table.forced).map((table) => table.name);
    expect(walled).toEqual(owned);
    expect(tables.map((table) => table.name).filter((name) => !walled.includes(name))).toEqual(
      Object.keys(exempt),
    );
  });

  test.each(owned)(
    "%s shows the API no row while no user is set, and a user's own when one is",
    async (table) => {
      expect(await run(apiUrl, countRows(table))).toEqual([]);
      const pool = openPool(apiUrl, 1);
      const client = await pool.connect();
      try {
        await beginAs(client, ada.id);
        const { rows } = await client.query(countRows(table));
        expect(rows).toEqual([{ owner: ada.id, count: expect.any(Number) }]);
        await client.query("commit");
        // The next transaction on the same connection is nobody again.
        expect((await client.query(countRows(table))).rows).toEqual([]);
      } finally {
        client.release();
        await pool.end();
      }
    },
  );

  test.each(owned)("%s shows the API no row for a scope or a user that does not exist", async (table) => {
    for (const [user, scope] of [
      [randomUUID(), "user"],
      ["", ""],
      ["", "auditor"],
      ["", "ADMIN"],
      ["", "user"],
    ]) {
      await connected(apiUrl, async (client) => {
        await client.query(
          "select set_config('app.user_id', $1, false), set_config('app.scope', $2, false)",
          [user, scope],
        );
        expect((await client.query(countRows(table))).rows, `${user} ${scope}`).toEqual([]);
      });
    }
  });
});

test("two users whose transactions interleave on a pool of two connections never see each other's rows", async () => {
  const pool = openPool(apiUrl, 2);
  try {
    const look = async (user: Account) => {
      const client = await pool.connect();
      try {
        await beginAs(client, user.id);
        for (const table of ["api_keys", "instances", "sessions"]) {
          const { rows } = await client.query(`select distinct ${ownerColumn(table)} as owner from ${table}`);
          expect(rows).toEqual([{ owner: user.id }]);
        }
        await client.query("commit");
      } finally {
        client.release();
      }
    };
    await Promise.all(Array.from({ length: 40 }, (_, index) => look(index % 2 === 0 ? ada : bob)));
  } finally {
    await pool.end();
  }
});

/** How many rows a statement touches as the API acting for Ada, or how it is refused. */
async function attempt(statement: string): Promise<number | string> {
  const pool = openPool(apiUrl, 1);
  const client = await pool.connect();
  try {
    await beginAs(client, ada.id);
    return (await client.query(statement)).rowCount ?? 0;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    client.release(true);
    await pool.end();
  }
}

describe("as one user, the API's role", () => {
  test("cannot change, end or adopt anything of another", async () => {
    expect(
      await attempt(`update instances set state = 'failed', ended_at = now() where user_id = '${bob.id}'`),
    ).toBe(0);
    expect(
      await attempt(`update sessions set ended_at = now(), end_reason = 'x' where user_id = '${bob.id}'`),
    ).toBe(0);
    expect(await attempt(`update users set role = 'admin' where id = '${bob.id}'`)).toBe(0);
    expect(await attempt(`update sessions set user_id = '${bob.id}'`)).toBe("42501");
    expect(await attempt("update api_keys set label = 'x' where true")).toBe(1);
    for (const change of ["update instance_log_lines set text = ''", "delete from instance_log_lines"]) {
      expect(await attempt(change)).toBe("42501");
    }
  });

  test("cannot plant anything on another", async () => {
    const planted = `insert into sessions (id, user_id, idle_expires_at, absolute_expires_at)
      values (gen_random_uuid(), '${bob.id}', now() + interval '1 day', now() + interval '1 day')`;
    expect(await attempt(planted)).toBe("42501");
    expect(await attempt(planted.replace(bob.id, ada.id))).toBe(1);
  });
});

describe("a sealed key", () => {
  test.each([
    "select sealed from api_keys",
    "select * from api_keys",
    "select api_keys from api_keys",
    "table api_keys",
    "copy api_keys to stdout",
    "select length(sealed) from api_keys",
    "update api_keys set label = encode(sealed, 'hex')",
    "update api_keys set sealed = null, deleted_at = now() returning sealed",
    "select 1 from api_keys where sealed is not null",
    "select row_to_json(api_keys) from api_keys",
  ])("is never readable to the API: %s", async (statement) => {
    expect(
      (await refusal(apiUrl, `begin; select set_config('app.scope', 'system', true); ${statement}`))?.code,
    ).toBe("42501");
  });

  test("is there for the worker, which in turn knows no password, session or refresh token", async () => {
    expect(await run(workerUrl, "select id from api_keys where sealed is not null")).toHaveLength(2);
    for (const table of ["credentials", "sessions", "refresh_tokens", "invitations", "signing_keys"]) {
      expect((await refusal(workerUrl, `select * from ${table}`))?.code, table).toBe("42501");
    }
    expect((await refusal(workerUrl, "select email from users"))?.code).toBe("42501");
    expect(await run(workerUrl, "select id, status from users")).not.toHaveLength(0);
  });

  test("cannot be changed by the worker, nor can who owns an instance or how long it lives", async () => {
    for (const change of [
      "update api_keys set sealed = null",
      "update instances set user_id = user_id",
      "update instances set expires_at = expires_at + interval '1 day'",
      "update instances set config = '{}'",
      "insert into instances select * from instances",
      "update users set status = 'active'",
      "update instance_tokens set revoked_at = null",
      "delete from instances",
      "delete from receipts",
      "update instance_log_lines set text = 'something else'",
    ]) {
      expect((await refusal(workerUrl, change))?.code, change).toBe("42501");
    }
  });
});

describe.each(["api", "worker"] as const)("the role of the %s", (name) => {
  const connection = () => (name === "api" ? apiUrl : workerUrl);

  test("owns nothing, bypasses nothing and may become nobody else", async () => {
    const [role] = await run(
      connection(),
      `select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit,
         (select count(*)::int from pg_auth_members where member = r.oid) as memberships,
         (select count(*)::int from pg_class where relowner = r.oid) as relations,
         (select count(*)::int from pg_proc where proowner = r.oid) as functions,
         (select count(*)::int from pg_namespace where nspowner = r.oid) as schemas
       from pg_roles r where rolname = current_user`,
    );
    expect(role).toEqual({
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      rolinherit: false,
      memberships: 0,
      relations: 0,
      functions: 0,
      schemas: 0,
    });
  });

  test.each([
    "set role minimcp_auditor",
    "set role minimcp_backup",
    `set role ${name === "api" ? "minimcp_worker" : "minimcp_api"}`,
    "set session authorization minimcp_backup",
    "set session_replication_role = replica",
    "set row_security = off; select * from users",
    "create table public.mine (a int)",
    "create table audit.mine (a int)",
    "create table app.mine (a int)",
    "create schema mine",
    "create function public.mine() returns int language sql as 'select 1'",
    "create or replace function app.sees_all() returns boolean language sql as 'select true'",
    "create extension dblink",
    "create role mine",
    "drop table users",
    "drop policy api_own_rows on users",
    "alter table users disable row level security",
    "alter table instances disable trigger all",
    "alter role current_user superuser",
    "truncate users",
    "delete from users",
    "copy users to program 'id'",
    "copy users to '/tmp/minimcp-users'",
    "copy receipts from program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/minimcp-lo')",
    "select * from pg_authid",
    "select pg_reload_conf()",
    "alter system set log_statement = 'all'",
    "do language plpython3u 'import os'",
  ])("may not: %s", async (statement) => {
    const refused = await refusal(connection(), statement);
    // Insufficient privilege, or a language that is not there.
    expect(refused?.code, refused?.message).toMatch(/^(42501|42704)$/);
  });
});
