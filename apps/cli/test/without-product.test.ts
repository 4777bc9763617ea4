import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { Machine } from "./support/machine.ts";

let machine: Machine;

beforeAll(async () => {
  machine = await Machine.create();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

test("help names the exit codes and the way to the first endpoint; no command means help", async () => {
  const help = await machine.run(["--help"]);
  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("78 the configuration cannot be used");
  expect(help.stdout).toContain("npm run minimcp -- run everything --for 60m");
  expect(await machine.run([])).toEqual(help);
});

test("wrong usage is told with exit code 2, as JSON where that is asked for", async () => {
  const unknown = await machine.run(["instanc"]);
  expect(unknown).toMatchObject({ code: 2, stdout: "" });
  expect(unknown.stderr).toContain("Did you mean instances?");
  // As npm leaves `npm run minimcp run everything --for 60m`.
  const swallowed = await machine.run(["run", "everything", "60m"]);
  expect(swallowed).toMatchObject({ code: 2, stdout: "" });
  expect(swallowed.stderr).toContain("'--for <time>' not specified");
  expect(swallowed.stderr).toContain("npm run minimcp -- run --help");
  const missing = await machine.run(["login", "--json"]);
  expect(missing).toMatchObject({ code: 2, stdout: "" });
  expect(JSON.parse(missing.stderr)).toMatchObject({
    exitCode: 2,
    error: { message: expect.stringContaining("--email") },
  });
});

test("status and stop of a home where nothing runs end with exit code 3", async () => {
  expect(await machine.run(["status"])).toMatchObject({ code: 3, stdout: "" });
  expect(await machine.run(["stop"])).toMatchObject({ code: 3, stdout: "" });
  const admin = await machine.run(["admin", "create", "--email", "ada@example.com", "--password-stdin"]);
  expect(admin.code).toBe(3);
  expect(admin.stderr).toContain("npm start");
});

test("nobody is asked where nobody can answer: the flag to use is named", async () => {
  const login = await machine.run(["login", "--email", "ada@example.com"]);
  expect(login).toMatchObject({ code: 2, stdout: "" });
  expect(login.stderr).toContain("--password-stdin");
});

test("a server that is not there is told in one sentence", async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const answer = await machine.run(["types", "--url", url]);
  expect(answer).toMatchObject({ code: 1, stdout: "" });
  expect(answer.stderr).toContain(`The connection to ${url} failed`);
  expect(answer.stderr).not.toContain("    at ");
});

test.for([
  { where: "as an argument", args: ["ghp_0123456789abcdefghij", "--label", "work"] },
  { where: "as the label", args: ["--label", "github_pat_11AAAAAAA0aaaaaaaaaaaa"] },
  { where: "of no known form", args: ["0123456789abcdef0123456789abcdef", "--label", "work"] },
])("a secret in an argument is refused and not repeated: $where", async ({ args }) => {
  const refused = await machine.run(["keys", "add", "github", ...args]);
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  expect(refused.stderr).toContain("looks like a secret");
  expect(args.filter((text) => text.length > 10 && refused.stderr.includes(text))).toEqual([]);
});

test("config check tells every problem of every process at once, without values", async () => {
  const environment = {
    API_PORT: "http",
    GATEWAY_PORT: "70000",
    HOST: "0.0.0.0",
    MASTER_KEY: "0".repeat(64),
    DATABASE_URL: "postgres://owner:hunter2@db.example/minimcp?sslmode=disable",
    MINIMCP_ADMIN_EMAIL: "ada@example.com",
    WORKER_CONCURRENCY: "many",
    LOG_LEVEL: "loud",
  };
  const checked = await machine.run(["config", "check", "--json"], { environment });
  expect(checked.code).toBe(78);
  const { ok, problems } = JSON.parse(checked.stdout) as { ok: boolean; problems: string[] };
  expect(ok).toBe(false);
  expect(new Set(problems.map((problem) => problem.split(":")[0]))).toEqual(
    new Set([
      "API_PORT",
      "DATABASE_URL",
      "GATEWAY_PORT",
      "HOST",
      "LOG_LEVEL",
      "MASTER_KEY",
      "MINIMCP_ADMIN_EMAIL",
      "WORKER_CONCURRENCY",
    ]),
  );
  expect(checked.stdout + checked.stderr).not.toContain("hunter2");
  const started = await machine.run(["start"], { environment });
  expect(started).toMatchObject({ code: 78, stdout: "" });
  expect(await machine.run(["config", "check"])).toMatchObject({ code: 0, stderr: "" });
});

test("production generates nothing: every secret must be given", async () => {
  const { code, stderr } = await machine.run(["start"], { environment: { MINIMCP_MODE: "production" } });
  expect(code).toBe(78);
  for (const name of [
    "MASTER_KEY",
    "DATABASE_URL",
    "DATABASE_URL_API",
    "DATABASE_URL_WORKER",
    "TLS_CERT_FILE",
  ]) {
    expect(stderr).toContain(`${name}:`);
  }
});

test("production with a dashboard needs its key and an encrypted address, and without needs neither", async () => {
  const production = { MINIMCP_MODE: "production", DASHBOARD: "on", DASHBOARD_URL: "http://mcp.example.com" };
  const check = async (more: object) =>
    (await machine.run(["config", "check"], { environment: { ...production, ...more } })).stderr;
  const refused = await check({});
  expect(refused).toMatch(/SESSION_SECRET: is required in production.*--no-dashboard/);
  expect(refused).toMatch(/DASHBOARD_URL: must be the dashboard's https address.*--no-dashboard/);
  const encrypted = { SESSION_SECRET: "a1".repeat(32), DASHBOARD_URL: "https://mcp.example.com" };
  for (const more of [encrypted, { DASHBOARD: "off" }]) {
    expect(await check(more)).not.toMatch(/SESSION_SECRET|DASHBOARD_URL/);
  }
});

test("a secret's file that others can read is refused", async () => {
  const file = join(machine.directory, "key");
  await writeFile(file, "8f1d7c02a9b3e45566778812cdef90ab13579bdf02468ace1f2e3d4c5b6a7988\n", {
    mode: 0o644,
  });
  const { code, stderr } = await machine.run(["config", "check"], { environment: { MASTER_KEY_FILE: file } });
  expect(code).toBe(78);
  expect(stderr).toContain("MASTER_KEY_FILE: the file can be read by others");
});

test.each(["API_PORT", "DASHBOARD_PORT"])(
  "a port in use is told with its setting, before anything is started: %s",
  async (name) => {
    await using server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const environment = { DASHBOARD: "on", DASHBOARD_PORT: "0", [name]: String(port) };
    const { code, stdout, stderr } = await machine.run(["start"], { environment });
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr).toContain(`${name}: port ${port} on 127.0.0.1 is in use`);
    expect(machine.processes()).toEqual([]);
  },
);

test("a dashboard that is not started needs no port", async () => {
  await using server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const DASHBOARD_PORT = String((server.address() as AddressInfo).port);
  const same = { API_PORT: DASHBOARD_PORT, DASHBOARD_PORT };
  const { stderr } = await machine.run(["config", "check"], { environment: { DASHBOARD: "on", ...same } });
  expect(stderr).toContain("DASHBOARD_PORT: is the same as API_PORT");
  expect(await machine.run(["config", "check"], { environment: same })).toMatchObject({ code: 0 });
});

test("credentials that are not ours are not overwritten", async () => {
  const configHome = join(machine.directory, "strange");
  await mkdir(join(configHome, "minimcp"), { recursive: true });
  await writeFile(join(configHome, "minimcp/credentials.json"), "{");
  const { code, stderr } = await machine.run(["whoami"], { environment: { XDG_CONFIG_HOME: configHome } });
  expect(code).toBe(1);
  expect(stderr).toContain("Remove it and sign in again");
});

test("doctor fails with what is wrong and goes on looking", async () => {
  const { code, stdout } = await machine.run(["doctor", "--json"], { environment: { API_PORT: "http" } });
  expect(code).toBe(1);
  const { checks } = JSON.parse(stdout) as { checks: { id: string; status: string }[] };
  expect(checks).toContainEqual(expect.objectContaining({ id: "config.valid", status: "fail" }));
  expect(checks.at(-1)).toMatchObject({ id: "cli.login", status: "skip" });
});

async function freePort(): Promise<number> {
  await using server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
