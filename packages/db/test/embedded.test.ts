import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, cp, lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { locateBinaries, makeBinariesReadable } from "../src/embedded/binaries.ts";
import { isOpenToOthers } from "../src/embedded/directories.ts";
import {
  type EmbeddedPostgres,
  EmbeddedPostgresFailure,
  parseDatabaseUrl,
  startEmbeddedPostgres,
} from "../src/index.ts";
import { administer } from "./support/debian-postgres.ts";
import {
  isAlive,
  readPostmasterPid,
  spawnSupervisor,
  startSupervisor,
  type SupervisorOptions,
} from "./support/supervisor.ts";
import { until } from "./support/until.ts";

const isRoot = process.getuid?.() === 0;
/** An account that every Linux has; a user of the product without root. */
const ordinaryUid = 65_534;

/** Stands for /var/lib. */
let closedRoot: string;
let room: string;
let options: SupervisorOptions;

beforeAll(async () => {
  closedRoot = await mkdtemp("/tmp/minimcp-closed-");
  await chmod(closedRoot, 0o711);
});

afterAll(async () => {
  await rm(closedRoot, { recursive: true, force: true });
});

beforeEach(async () => {
  room = await mkdtemp("/tmp/minimcp-embedded-");
  await chmod(room, 0o711);
  options = { home: join(room, "home"), closedHomeRoot: join(room, "closed"), settings: { fsync: "off" } };
});

afterEach(async () => {
  await rm(room, { recursive: true, force: true });
});

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

const kept = [{ id: 1 }];

async function remember(url: string): Promise<void> {
  await administer(
    url,
    "create table if not exists kept (id int primary key); insert into kept values (1) on conflict do nothing",
  );
}

async function recall(url: string): Promise<unknown[]> {
  return query(url, "select id from kept");
}

async function modeOf(path: string): Promise<string> {
  return ((await lstat(path)).mode & 0o7777).toString(8);
}

async function canEnter(directory: string, uid: number): Promise<boolean> {
  const child = spawn("ls", [directory], { uid, gid: uid, stdio: "ignore" });
  const [code] = await once(child, "exit");
  return code === 0;
}

const places = [
  { name: "in an open place", available: true, below: undefined, uid: undefined },
  { name: "below root's own directory", available: isRoot, below: homedir(), uid: undefined },
  // A clone that is itself closed cannot be run by anybody else.
  {
    name: "of an ordinary user",
    available: isRoot && (await isOpenToOthers(import.meta.dirname)),
    below: undefined,
    uid: ordinaryUid,
  },
];

describe.each(places.filter(({ available }) => available))("a home $name", ({ below = "/tmp", uid }) => {
  let directory: string;
  let placed: SupervisorOptions;

  // One home for all of them: only its first start is slow.
  beforeAll(async () => {
    directory = await mkdtemp(join(below, ".minimcp-embedded-"));
    const parent = join(directory, "parent");
    await mkdir(parent);
    if (uid !== undefined) await chown(parent, uid, uid);
    await chmod(directory, 0o711);
    placed = {
      home: join(parent, "home"),
      closedHomeRoot: join(closedRoot, "minimcp"),
      settings: { fsync: "off" },
    };
  });
  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  test("starts from nothing, and the second time quickly with everything still there", async () => {
    const startedAt = performance.now();
    let firstTookMs: number;
    {
      await using first = await startSupervisor(placed, uid);
      firstTookMs = performance.now() - startedAt;
      expect(first.created).toBe(true);
      await remember(first.ownerUrl);
    }
    const startedAgainAt = performance.now();
    await using second = await startSupervisor(placed, uid);
    // Two seconds on an idle machine; a busy one is slow both times.
    expect(performance.now() - startedAgainAt).toBeLessThan(Math.max(2_000, firstTookMs));
    expect(second.created).toBe(false);
    expect(await recall(second.ownerUrl)).toEqual(kept);
  });

  test("listens on a socket alone, checks its pages, and its owner is no superuser", async () => {
    await using server = await startSupervisor(placed, uid);
    expect(
      await query(
        server.ownerUrl,
        `select current_setting('listen_addresses') as tcp, current_setting('data_checksums') as checksums,
                rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = current_user`,
      ),
    ).toEqual([
      {
        tcp: "",
        checksums: "on",
        rolsuper: false,
        rolcreaterole: true,
        rolcreatedb: true,
        rolbypassrls: false,
      },
    ]);
    const asSuperuser = server.ownerUrl.replace("minimcp_owner", "postgres");
    await expect(query(asSuperuser, "select 1")).rejects.toThrow("pg_hba.conf rejects connection");
    const withWrongPassword = server.ownerUrl.replace(/:[^:@/]+@/, ":wrong@");
    await expect(query(withWrongPassword, "select 1")).rejects.toMatchObject({ code: "28P01" });
  });

  test("keeps everybody else out of data, socket and password", async () => {
    await using server = await startSupervisor(placed, uid);
    expect(await modeOf(placed.home)).toBe("711");
    expect(await modeOf(join(placed.home, "secrets"))).toBe("700");
    expect(await modeOf(join(placed.home, "secrets/database-owner-password"))).toBe("600");
    expect(await modeOf(server.dataDirectory)).toBe("700");
    const base = dirname(server.dataDirectory);
    for (const closed of [base, join(base, "socket")]) {
      expect((await stat(closed)).mode & 0o007).toBe(0);
    }
    const { uid: owner } = await stat(server.dataDirectory);
    expect(owner).not.toBe(0);
    expect(uid === undefined || owner === uid).toBe(true);
  });

  test.runIf(isRoot)("lets no other ordinary user reach the socket", async () => {
    await using server = await startSupervisor(placed, uid);
    const { host } = parseDatabaseUrl(server.ownerUrl);
    expect(await canEnter(host, 54_321)).toBe(false);
    expect(await canEnter(dirname(host), 54_321)).toBe(false);
  });

  test("kill -9 of the supervisor: its server lives on, and the next start ends it in order and takes over", async () => {
    const first = await startSupervisor(placed, uid);
    await remember(first.ownerUrl);
    const pid = await readPostmasterPid(first.dataDirectory);
    await first.kill();
    expect(await recall(first.ownerUrl)).toEqual(kept);

    await using second = await startSupervisor(placed, uid);
    expect(await isAlive(pid)).toBe(false);
    expect(await recall(second.ownerUrl)).toEqual(kept);
  });

  test("kill -9 of supervisor and server at once: what was committed is there after the next start", async () => {
    const first = await startSupervisor(placed, uid);
    await remember(first.ownerUrl);
    process.kill(await readPostmasterPid(first.dataDirectory), "SIGKILL");
    await first.kill();
    await using second = await startSupervisor(placed, uid);
    expect(await recall(second.ownerUrl)).toEqual(kept);
  });
});

describe("a running server", () => {
  test("says when it was killed, and can be started again by the same process", async () => {
    await using server = await startEmbeddedPostgres(options);
    await remember(server.ownerUrl());
    process.kill(await readPostmasterPid(server.dataDirectory), "SIGKILL");
    expect(await server.exited).toEqual({ code: null, signal: "SIGKILL" });
    await using again = await startEmbeddedPostgres(options);
    expect(await recall(again.ownerUrl())).toEqual(kept);
  });

  test("stops in order, twice if asked, and leaves no process and no lock", async () => {
    const server = await startEmbeddedPostgres(options);
    const pid = await readPostmasterPid(server.dataDirectory);
    await Promise.all([server.stop(), server.stop()]);
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(await isAlive(pid)).toBe(false);
    expect(await readdir(server.socketDirectory)).toEqual([]);
  });

  test("that does not stop in time is stopped at once, and recovers", async () => {
    const server = await startEmbeddedPostgres({ ...options, stopTimeoutMs: 0 });
    await remember(server.ownerUrl());
    await server.stop();
    await using again = await startEmbeddedPostgres(options);
    expect(await recall(again.ownerUrl())).toEqual(kept);
  });
});

describe("what an earlier start may have left", () => {
  test("a backend that outlives its killed server: the next start waits for it instead of writing beside it", async () => {
    await using first = await startEmbeddedPostgres(options);
    const client = new Client({ connectionString: first.ownerUrl() });
    client.on("error", () => undefined);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
    const backend = rows[0]?.pid ?? 0;
    // Calculates without ever looking whether its server is still there.
    const busy = client.query(
      "do $$ begin while clock_timestamp() < now() + interval '1500 ms' loop end loop; end $$",
    );
    const settled = busy.then(
      () => undefined,
      () => undefined,
    );
    process.kill(await readPostmasterPid(first.dataDirectory), "SIGKILL");
    await first.exited;
    expect(await isAlive(backend)).toBe(true);
    await using second = await startEmbeddedPostgres(options);
    expect(await isAlive(backend)).toBe(false);
    expect(await query(second.ownerUrl(), "select 1 as one")).toEqual([{ one: 1 }]);
    await settled;
    await client.end();
  });

  test("process ids that belong to another program by now: it is left alone, and the server starts", async () => {
    const first = await startEmbeddedPostgres(options);
    await first.stop();
    const { uid, gid } = await stat(first.dataDirectory);
    const stranger = spawn("sleep", ["60"], isRoot ? { uid, gid } : {});
    await once(stranger, "spawn");
    try {
      const lock = `${stranger.pid}\n${first.dataDirectory}\n1700000000\n5432\n${first.socketDirectory}\n\n  1 1\nready   \n`;
      for (const path of [
        join(first.dataDirectory, "postmaster.pid"),
        join(first.socketDirectory, ".s.PGSQL.5432.lock"),
      ]) {
        await writeFile(path, lock);
        if (isRoot) await chown(path, uid, gid);
      }
      await using second = await startEmbeddedPostgres(options);
      expect(await query(second.ownerUrl(), "select 1 as one")).toEqual([{ one: 1 }]);
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill();
      await once(stranger, "exit");
    }
  });

  test.runIf(isRoot)("a home copied back by root, whose files belong to root now", async () => {
    const first = await startEmbeddedPostgres(options);
    await remember(first.ownerUrl());
    await first.stop();
    const copied = { ...options, home: join(room, "copied") };
    await cp(options.home, copied.home, { recursive: true });
    expect((await stat(join(copied.home, "database/data"))).uid).toBe(0);
    await using second = await startEmbeddedPostgres(copied);
    expect(await recall(second.ownerUrl())).toEqual(kept);
  });

  test("a first start killed halfway: the next one begins from scratch", async () => {
    const database = join(options.home, "database");
    const list = (): Promise<string[]> => readdir(database).catch(() => []);
    // On a busy machine the blow may come too late; then the place is cleared for another one.
    do {
      await rm(options.home, { recursive: true, force: true });
      const child = spawnSupervisor(options);
      const exited = once(child, "exit");
      await until("the cluster is being built", async () =>
        (await list()).some((name) => name.startsWith("initialising-")),
      );
      child.kill("SIGKILL");
      await exited;
    } while ((await list()).includes("data"));

    await using server = await startEmbeddedPostgres(options);
    expect(server.created).toBe(true);
    expect(await list()).toEqual(expect.not.arrayContaining([expect.stringMatching(/^initialising-/)]));
  });

  test("a first start that was aborted leaves nothing that looks like a database", async () => {
    const abort = new AbortController();
    const aborted = startEmbeddedPostgres({
      ...options,
      signal: abort.signal,
      log: () => abort.abort(new Error("enough")),
    });
    await expect(aborted).rejects.toThrow("enough");
    await using server = await startEmbeddedPostgres(options);
    expect(server.created).toBe(true);
  });
});

describe("refusals, each with what to do", () => {
  test("of two starters at once on an empty home, one runs and the other is told who", async () => {
    const results = await Promise.allSettled([
      startEmbeddedPostgres(options),
      startEmbeddedPostgres(options),
    ]);
    const running = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    await Promise.all(running.map((server: EmbeddedPostgres) => server.stop()));
    expect(running).toHaveLength(1);
    expect(refused).toEqual([expect.objectContaining({ reason: "inUse" })]);
    expect(String(refused[0])).toMatch(/already runs the database .* `minimcp stop`/);
  });

  test.each(["19", "17"])("data of PostgreSQL %s is not touched", async (version) => {
    const server = await startEmbeddedPostgres(options);
    await server.stop();
    await writeFile(join(server.dataDirectory, "PG_VERSION"), `${version}\n`);
    await expect(startEmbeddedPostgres(options)).rejects.toMatchObject({
      reason: "otherVersion",
      message: expect.stringContaining(
        `belongs to PostgreSQL ${version}; this version of MiniMCP brings PostgreSQL 18`,
      ),
    });
  });

  test("a lost owner's password is named, and not made up anew", async () => {
    const server = await startEmbeddedPostgres(options);
    await server.stop();
    await rm(join(options.home, "secrets/database-owner-password"));
    await expect(startEmbeddedPostgres(options)).rejects.toThrow(
      "secrets/database-owner-password is missing",
    );
    expect(await readdir(join(options.home, "secrets"))).toEqual([]);
  });

  test("a wrong owner's password is named, and no server is left running", async () => {
    const server = await startEmbeddedPostgres(options);
    await server.stop();
    await writeFile(join(options.home, "secrets/database-owner-password"), "of-another-backup");
    await expect(startEmbeddedPostgres(options)).rejects.toThrow(
      "secrets/database-owner-password does not open it",
    );
    await expect(readPostmasterPid(server.dataDirectory)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("a data directory without a database in it is not built over", async () => {
    await mkdir(join(options.home, "database/data"), { recursive: true });
    await expect(startEmbeddedPostgres(options)).rejects.toThrow("holds no database of PostgreSQL");
  });

  test.runIf(isRoot)("a home whose database elsewhere is gone does not begin with an empty one", async () => {
    await mkdir(options.home);
    await writeFile(join(options.home, "database-location"), "0123456789ab\n");
    await expect(startEmbeddedPostgres(options)).rejects.toThrow("which is gone");
  });

  test.runIf(isRoot)("a home of another user is refused", async () => {
    await mkdir(options.home);
    await chown(options.home, ordinaryUid, ordinaryUid);
    await expect(startEmbeddedPostgres(options)).rejects.toThrow(
      "Start as its owner, or choose another MINIMCP_HOME",
    );
  });

  test.runIf(isRoot)(
    "a record that points elsewhere is refused, because as root we hand over what lies there",
    async () => {
      await mkdir(options.home);
      await writeFile(join(options.home, "database-location"), "../../../etc\n");
      await expect(startEmbeddedPostgres(options)).rejects.toMatchObject({ reason: "unusableHome" });
    },
  );

  test("what PostgreSQL says about a start that fails is passed on", async () => {
    const broken = { ...options, settings: { ...options.settings, shared_buffers: "nonsense" } };
    await expect(startEmbeddedPostgres(broken)).rejects.toSatisfy(
      (error: unknown) =>
        error instanceof EmbeddedPostgresFailure &&
        error.reason === "cannotStart" &&
        error.message.includes('invalid value for parameter "shared_buffers"'),
    );
  });
});

describe("paths", () => {
  test("a home too deep for a Unix socket gets its socket in the runtime directory", async () => {
    const home = join(room, "a directory, with a comma and blanks".repeat(3), "home");
    await using server = await startEmbeddedPostgres({
      ...options,
      home,
      runtimeDirectory: join(room, "runtime"),
    });
    expect(server.socketDirectory.startsWith(join(room, "runtime"))).toBe(true);
    expect(await query(server.ownerUrl(), "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("a home with blanks and a comma works", async () => {
    await using server = await startEmbeddedPostgres({ ...options, home: join(room, "my, home") });
    expect(server.socketDirectory).toContain("my, home");
    expect(await query(server.ownerUrl(), "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test.runIf(isRoot)("programs that the server's user cannot reach are staged read-only, once", async () => {
    const { postgres } = await locateBinaries();
    const installed = join(room, "closed-installation");
    await cp(dirname(dirname(dirname(postgres))), installed, { recursive: true, verbatimSymlinks: true });
    await chmod(installed, 0o700);
    const there = {
      initdb: join(installed, "native/bin/initdb"),
      postgres: join(installed, "native/bin/postgres"),
    };
    const staged = await makeBinariesReadable(there, join(room, "closed"));
    expect(staged.postgres.startsWith(join(room, "closed/postgres-18"))).toBe(true);
    expect(await modeOf(staged.postgres)).toBe("555");
    const { ino } = await stat(staged.postgres);
    const again = await makeBinariesReadable(there, join(room, "closed"));
    expect((await stat(again.postgres)).ino).toBe(ino);

    const version = spawn(staged.postgres, ["--version"], {
      uid: ordinaryUid,
      gid: ordinaryUid,
      stdio: "ignore",
    });
    expect(await once(version, "exit")).toEqual([0, null]);
  });
});
