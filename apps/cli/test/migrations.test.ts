import { cp, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { migrate, startEmbeddedPostgres } from "@minimcp/db";
import { afterEach, beforeEach, expect, test } from "vitest";

import { backUpData } from "../src/supervisor/back-up-data.ts";
import { Machine } from "./support/machine.ts";

const ours = fileURLToPath(new URL("../../../packages/db/migrations", import.meta.url));

interface Journal {
  entries: { idx: number; tag: string; when: number }[];
}

const { entries } = JSON.parse(await readFile(join(ours, "meta/_journal.json"), "utf8")) as Journal;

let machine: Machine;

beforeEach(async () => {
  machine = await Machine.create();
});

afterEach(async () => {
  await machine[Symbol.asyncDispose]();
});

/** Makes the home's database as a version with these migrations would have. */
async function prepareHome(change: (journal: Journal) => void): Promise<void> {
  const migrationsDirectory = join(machine.directory, "migrations");
  await cp(ours, migrationsDirectory, { recursive: true });
  await writeFile(join(migrationsDirectory, "9999_later.sql"), "select 1;");
  const journal = { version: "7", dialect: "postgresql", entries: structuredClone(entries) };
  change(journal);
  await writeFile(join(migrationsDirectory, "meta/_journal.json"), JSON.stringify(journal));
  const settings = { fsync: "off" };
  await using server = await startEmbeddedPostgres({ home: machine.home, settings });
  const roles = { api: { password: "api-password" }, worker: { password: "worker-password" } };
  await migrate({ ownerUrl: server.ownerUrl(), roles, migrationsDirectory });
}

test.skipIf(entries.length < 2)("an older database is copied aside, then migrated", async () => {
  // While the roles are made by the last migration, what comes after the migrations misses them.
  await prepareHome((journal) => journal.entries.pop()).catch(() => undefined);
  const last = entries.at(-1)?.tag ?? "";
  const migrated = await machine.run(["migrate", "--json"]);
  expect(migrated.code, migrated.stderr).toBe(0);
  expect(JSON.parse(migrated.stdout)).toEqual({ applied: [last] });
  const copy = join(machine.home, "database", `data-before-${last}`);
  expect(migrated.stderr).toContain(copy);
  expect(await readFile(join(copy, "PG_VERSION"), "utf8")).toBe("18\n");
  expect((await stat(copy)).mode & 0o777).toBe(0o700);
  expect(await machine.json(["migrate"])).toEqual({ applied: [] });
  expect(await readdir(join(machine.home, "database"))).toContain(`data-before-${last}`);
  expect(machine.processes()).toEqual([]);
});

test("a home newer than the code is refused, and nothing is left running", async () => {
  await prepareHome((journal) => {
    const when = (entries.at(-1)?.when ?? 0) + 1;
    journal.entries.push({ ...entries[0], idx: entries.length, tag: "9999_later", when });
  });
  const { code, stdout, stderr } = await machine.run(["start"]);
  expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
  expect(stderr).toContain("newer");
  expect(machine.processes()).toEqual([]);
});

test("of the copies, the newest two are kept", async () => {
  const data = join(machine.directory, "data");
  await mkdir(data);
  for (const name of ["0001_a", "0002_b", "0003_c"]) await backUpData(data, name);
  expect((await readdir(machine.directory)).toSorted()).toEqual([
    "data",
    "data-before-0002_b",
    "data-before-0003_c",
  ]);
});
