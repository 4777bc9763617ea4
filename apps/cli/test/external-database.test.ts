import { existsSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

// @boundaries-ignore The database of a test is a copy made by the run's one server, which belongs to no room.
import { createTestDatabase } from "../../../test/support/database.ts";
import { environmentOf, Machine } from "./support/machine.ts";
import { until } from "./support/until.ts";

test("a given database is used and none is made; the configured administrator can sign in; Ctrl-C ends all", async () => {
  await using database = await createTestDatabase();
  await using machine = await Machine.create();
  const [email, password] = ["root@example.com", "a password that is long enough"];
  const product = await machine.start({
    DATABASE_URL: database.ownerUrl,
    DATABASE_URL_API: database.apiUrl,
    DATABASE_URL_WORKER: database.workerUrl,
    MINIMCP_ADMIN_EMAIL: email,
    MINIMCP_ADMIN_PASSWORD: password,
  });
  expect(product.ready).toMatchObject({ database: { kind: "external" }, nextStep: null });
  expect(existsSync(join(machine.home, "database"))).toBe(false);
  for (const { pid } of [product.ready.api, product.ready.gateway]) {
    expect(environmentOf(pid ?? 0)).toContain("DATABASE_URL_");
    expect(environmentOf(pid ?? 0)).not.toMatch(/postgres(ql)?:|DATABASE_URL=|ADMIN/);
  }
  const url = product.ready.api.url ?? "";
  const signedIn = await machine.json(["login", "--url", url, "--email", email, "--password-stdin"], {
    stdin: password,
  });
  expect(signedIn).toMatchObject({ user: { email, role: "admin" } });

  product.process.kill("SIGINT");
  expect(await product.ended).toBe(0);
  expect(machine.processes()).toEqual([]);
});

test("told to end while it starts, it ends, and the next start goes on from there", async () => {
  await using machine = await Machine.create();
  const starting = machine.run(["start"]);
  await until("it runs", async () => (await machine.run(["status"])).code === 0, 20_000);
  expect((await machine.run(["stop"])).code).toBe(0);
  expect(await starting).toMatchObject({ code: 0, stdout: "" });
  expect(machine.processes()).toEqual([]);
  const product = await machine.start();
  expect(product.ready.state).toBe("ready");
  expect((await machine.run(["stop"])).code).toBe(0);
  expect(await product.ended).toBe(0);
});
