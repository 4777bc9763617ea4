import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  assertCurrentSchema,
  buildDatabaseUrl,
  migrate,
  parseDatabaseUrl,
  readSchemaState,
  SchemaMismatch,
  startEmbeddedPostgres,
} from "../src/index.ts";
import { administer, hasDebianPostgres, startDebianPostgres } from "./support/debian-postgres.ts";
import { writeMigrations } from "./support/migrations.ts";
import { until } from "./support/until.ts";

const passwords = { api: { password: "api-password" }, worker: { password: "worker-password" } };

/** What the fixtures need of the real migrations: the two roles. */
const createRoles = `do $$ declare name text; begin
  foreach name in array array['minimcp_api', 'minimcp_worker'] loop
    begin
      if not exists (select from pg_roles where rolname = name) then execute format('create role %I', name); end if;
    exception when duplicate_object or unique_violation then null;
    end;
  end loop;
end $$;--> statement-breakpoint
grant usage on schema drizzle to minimcp_api;--> statement-breakpoint
grant select on drizzle.__drizzle_migrations to minimcp_api`;

interface Server extends AsyncDisposable {
  /** A new, empty database; returns its owner's URL. */
  createDatabase(): Promise<string>;
  major: number;
}

async function startEmbedded(): Promise<Server> {
  await using startup = new AsyncDisposableStack();
  const home = await mkdtemp("/tmp/minimcp-migrate-");
  startup.defer(() => rm(home, { recursive: true, force: true }));
  const server = startup.use(
    await startEmbeddedPostgres({ home, settings: { fsync: "off" }, closedHomeRoot: join(home, "closed") }),
  );
  const acquired = startup.move();
  return {
    major: 18,
    createDatabase: async () => {
      const name = randomName();
      await administer(server.ownerUrl(), `create database ${name}`);
      return server.ownerUrl(name);
    },
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}

async function startExternal(): Promise<Server> {
  const server = await startDebianPostgres();
  return {
    major: 15,
    createDatabase: async () => {
      const name = randomName();
      await administer(server.administratorUrl, `create database ${name} owner product_owner`);
      return buildDatabaseUrl({ ...parseDatabaseUrl(server.ownerUrl), database: name });
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function randomName(): string {
  return `migrate_${randomBytes(4).toString("hex")}`;
}

function as(url: string, user: string, password: string): string {
  return buildDatabaseUrl({ ...parseDatabaseUrl(url), user, password });
}

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

describe.each([
  { name: "embedded PostgreSQL 18", start: startEmbedded, available: true },
  { name: "a PostgreSQL 15 of somebody else's", start: startExternal, available: hasDebianPostgres },
])("migrate on $name", ({ start, available }) => {
  let server: Server;

  beforeAll(async () => {
    if (available) server = await start();
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  test.runIf(available)(
    "an owner that is no superuser brings an empty database to this code's schema",
    async () => {
      const ownerUrl = await server.createDatabase();
      const report = await migrate({ ownerUrl, roles: passwords });
      expect(report).toMatchObject({ waited: false, current: report.applied.at(-1) });
      expect(report.applied.length).toBeGreaterThan(1);
      const again = await migrate({ ownerUrl, roles: passwords });
      expect(again).toEqual({ applied: [], current: report.current, rolesChanged: [], waited: false });

      for (const [user, { password }] of [
        ["minimcp_api", passwords.api],
        ["minimcp_worker", passwords.worker],
      ] as const) {
        const url = as(ownerUrl, user, password);
        const state = await readSchemaState({ url, applicationName: "test" });
        expect(state).toMatchObject({
          status: "current",
          current: report.current,
          expected: report.current,
          pending: [],
        });
        expect(await query(url, "show server_version")).toEqual([
          { server_version: expect.stringMatching(new RegExp(`^${server.major}\\.`)) },
        ]);
      }
    },
  );

  test.runIf(available)("a role's new password replaces the old one", async () => {
    const ownerUrl = await server.createDatabase();
    await migrate({ ownerUrl, roles: passwords });
    const changed = await migrate({ ownerUrl, roles: { ...passwords, api: { password: "another" } } });
    expect(changed.rolesChanged).toEqual(["minimcp_api"]);
    await expect(query(as(ownerUrl, "minimcp_api", "another"), "select 1")).resolves.toHaveLength(1);
    await expect(query(as(ownerUrl, "minimcp_api", "api-password"), "select 1")).rejects.toMatchObject({
      code: "28P01",
    });
    await migrate({ ownerUrl, roles: passwords });
  });

  test.runIf(available)("of two at once, exactly one migrates", async () => {
    const ownerUrl = await server.createDatabase();
    const reports = await Promise.all([
      migrate({ ownerUrl, roles: passwords }),
      migrate({ ownerUrl, roles: passwords }),
    ]);
    expect(reports.filter(({ applied }) => applied.length > 0)).toHaveLength(1);
  });

  test.runIf(available)(
    "two databases of one cluster can be migrated at once, although they share the roles",
    async () => {
      const urls = await Promise.all([
        server.createDatabase(),
        server.createDatabase(),
        server.createDatabase(),
      ]);
      const reports = await Promise.all(
        urls.map((ownerUrl) =>
          migrate({ ownerUrl, roles: { api: { password: "same" }, worker: { password: "same" } } }),
        ),
      );
      expect(reports.every(({ applied }) => applied.length > 0)).toBe(true);
      await expect(query(as(urls[0] ?? "", "minimcp_worker", "same"), "select 1")).resolves.toHaveLength(1);
    },
  );

  test.runIf(available)("another migration is waited for, but not without end", async () => {
    const ownerUrl = await server.createDatabase();
    const other = new Client({ connectionString: ownerUrl });
    await other.connect();
    try {
      await other.query("select pg_advisory_lock(hashtextextended('minimcp.migrate', 0))");
      await expect(migrate({ ownerUrl, roles: passwords, waitMs: 150 })).rejects.toMatchObject({
        reason: "timeout",
        message: expect.stringContaining("Another process has been migrating"),
      });
      await expect(migrate({ ownerUrl, roles: passwords, signal: AbortSignal.timeout(50) })).rejects.toThrow(
        "aborted",
      );

      const waiting = migrate({ ownerUrl, roles: passwords });
      await until("it has asked for the lock and waits", async () => {
        const { rowCount } = await other.query(
          "select from pg_stat_activity where datname = current_database() and application_name = 'minimcp migrate' and query ~ 'pg_try_advisory_lock'",
        );
        return rowCount === 1;
      });
      await other.query("select pg_advisory_unlock_all()");
      expect(await waiting).toMatchObject({ waited: true });
    } finally {
      await other.end();
    }
  });

  test.runIf(available)(
    "a database that is newer than the code is refused, and the unknown migration named",
    async () => {
      const ownerUrl = await server.createDatabase();
      await using newer = await writeMigrations({
        "0000_roles": createRoles,
        "0001_later": "create table later (id int)",
      });
      await using older = await writeMigrations({ "0000_roles": createRoles });
      await migrate({ ownerUrl, roles: passwords, migrationsDirectory: newer.directory });

      const refused = migrate({ ownerUrl, roles: passwords, migrationsDirectory: older.directory });
      await expect(refused).rejects.toThrow(SchemaMismatch);
      await expect(refused).rejects.toThrow(
        /newer schema.* 1970-01-01T00:00:00.002Z.* is unknown here, the last known one is 0000_roles/,
      );

      const url = as(ownerUrl, "minimcp_api", passwords.api.password);
      const state = await readSchemaState({
        url,
        applicationName: "test",
        migrationsDirectory: older.directory,
      });
      expect(state.status).toBe("newer");
      expect(() => assertCurrentSchema(state)).toThrow(SchemaMismatch);
    },
  );

  test.runIf(available)("an older database is told apart, brought up, and then serves", async () => {
    const ownerUrl = await server.createDatabase();
    await using older = await writeMigrations({ "0000_roles": createRoles });
    await using newer = await writeMigrations({
      "0000_roles": createRoles,
      "0001_later": "create table later (id int)",
    });
    await migrate({ ownerUrl, roles: passwords, migrationsDirectory: older.directory });

    const options = {
      url: as(ownerUrl, "minimcp_api", passwords.api.password),
      applicationName: "test",
      migrationsDirectory: newer.directory,
    };
    const state = await readSchemaState(options);
    expect(state).toMatchObject({
      status: "older",
      current: "0000_roles",
      expected: "0001_later",
      pending: ["0001_later"],
    });
    expect(() => assertCurrentSchema(state)).toThrow("lacks 0001_later. Run `minimcp migrate`.");
    await migrate({ ownerUrl, roles: passwords, migrationsDirectory: newer.directory });
    expect(() => assertCurrentSchema(state)).toThrow(SchemaMismatch);
    assertCurrentSchema(await readSchemaState(options));
  });

  test.runIf(available)("a migration changed after it was applied is refused by its name", async () => {
    const ownerUrl = await server.createDatabase();
    await using released = await writeMigrations({
      "0000_roles": createRoles,
      "0001_table": "create table one (id int)",
    });
    await using edited = await writeMigrations({
      "0000_roles": createRoles,
      "0001_table": "create table one (id bigint)",
    });
    await migrate({ ownerUrl, roles: passwords, migrationsDirectory: released.directory });
    await expect(
      migrate({ ownerUrl, roles: passwords, migrationsDirectory: edited.directory }),
    ).rejects.toMatchObject({
      name: "SchemaMismatch",
      status: "drifted",
      message: expect.stringContaining("Migration 0001_table was changed after the database had applied it"),
    });
  });

  test.runIf(available)("a migration that fails leaves nothing behind and says where", async () => {
    const ownerUrl = await server.createDatabase();
    await using broken = await writeMigrations({
      "0000_roles": createRoles,
      "0001_broken": "create table half (id int);--> statement-breakpoint\nselect no_such_function()",
    });
    await expect(
      migrate({ ownerUrl, roles: passwords, migrationsDirectory: broken.directory }),
    ).rejects.toThrow(
      /nothing of it was kept: function no_such_function\(\) does not exist, in: select no_such_function\(\)/,
    );
    expect(await query(ownerUrl, "select to_regclass('half') as half")).toEqual([{ half: null }]);
  });

  test.runIf(available)(
    "a password that would not survive is refused before anything is written with it",
    async () => {
      const ownerUrl = await server.createDatabase();
      const roles = { ...passwords, api: { password: "pässword" } };
      await expect(migrate({ ownerUrl, roles })).rejects.toThrow("printable ASCII");
    },
  );
});

describe.runIf(hasDebianPostgres)("roles that an administrator has touched", () => {
  test("a role that bypasses row security is refused", async () => {
    await using server = await startDebianPostgres();
    await migrate({ ownerUrl: server.ownerUrl, roles: passwords });
    await administer(server.administratorUrl, "alter role minimcp_worker bypassrls");
    await expect(migrate({ ownerUrl: server.ownerUrl, roles: passwords })).rejects.toThrow(
      "ALTER ROLE minimcp_worker NOSUPERUSER NOBYPASSRLS",
    );
  });
});
