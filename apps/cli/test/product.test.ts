import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type {
  ApiKeyView,
  CreatedInstance,
  CreatedInvitation,
  InstanceView,
  Me,
  ReceiptView,
} from "@minimcp/client";
import { afterAll, beforeAll, expect, test } from "vitest";

// @boundaries-ignore What the tests of all rooms share belongs to no room.
import { callTool } from "../../../test/support/instances.ts";
import type { ProductStatus } from "../src/supervisor/product-status.ts";
import { environmentOf, Machine, type Started } from "./support/machine.ts";
import { until } from "./support/until.ts";

const email = "ada@example.com";
const password = "four unrelated words together";

let machine: Machine;
let product: Started;
/** Lives through everything that is killed below. */
let survivor: CreatedInstance;

beforeAll(async () => {
  machine = await Machine.create();
  product = await machine.start({ CANARY: "not to be inherited" });
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

async function status(): Promise<ProductStatus> {
  return await machine.json<ProductStatus>(["status"]);
}

function echo(created: { endpoint: string; accessToken: string }, message: string): Promise<Response> {
  const instance = { endpoint: created.endpoint, token: created.accessToken };
  return callTool(instance, "echo", { message }, { signal: AbortSignal.timeout(15_000) });
}

test("the first start prints one line when everything is ready, and says how to go on", () => {
  const { ready } = product;
  expect(ready).toMatchObject({
    kind: "ready",
    state: "ready",
    mode: "local",
    database: { kind: "embedded" },
  });
  expect(ready.isolation?.level).toMatch(/^(strict|contained|hardened|none)$/);
  expect(ready.nextStep).toContain("admin create");
  expect(product.stdout().trim().split("\n")).toHaveLength(1);
});

async function modeOf(path: string): Promise<string> {
  return ((await stat(join(machine.home, path))).mode & 0o777).toString(8);
}

test("the home is closed to others", async () => {
  expect(await modeOf("")).toBe("711");
  expect(await modeOf("secrets")).toBe("700");
  expect(await modeOf("secrets/master-key")).toBe("600");
  expect(await modeOf("secrets/database-api-password")).toBe("600");
  expect(await modeOf("control.sock")).toBe("600");
  expect(await modeOf("logs/api.log")).toBe("640");
});

test("a process is given its settings by name, its secrets as files, and nothing else", async () => {
  const masterKey = (await readFile(join(machine.home, "secrets/master-key"), "utf8")).trim();
  const { api, gateway } = await status();
  for (const pid of [api.pid, gateway.pid]) {
    const environment = environmentOf(pid ?? 0);
    expect(environment).toContain(`MINIMCP_HOME=${machine.home}`);
    expect(environment).not.toContain("CANARY");
    expect(environment).not.toContain(masterKey);
    expect(environment).not.toContain("postgresql://");
  }
  expect(environmentOf(gateway.pid ?? 0)).not.toContain("DATABASE_URL_API");
});

async function createAdministrator(given: string) {
  return await machine.run(["admin", "create", "--email", email, "--password-stdin"], {
    stdin: `${given}\n`,
  });
}

test("an administrator is created with a password that is long enough, once an address", async () => {
  const short = await createAdministrator("too short");
  expect(short).toMatchObject({ code: 2, stdout: "" });
  expect(short.stderr).toContain("at least 15 characters");
  expect(await createAdministrator(password)).toMatchObject({ code: 0, stderr: "" });
  const again = await createAdministrator(password);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain("auth.emailTaken");
});

test("an operator's script works on this home with its own secrets, and leaves none of them behind", async () => {
  const invited = await machine.run(["script", "import-users", "-", "--valid-hours", "1"], {
    stdin: "email,name,role\ngrace@example.com,Grace,auditor\n",
  });
  expect(invited).toMatchObject({ code: 0, stderr: "" });
  expect(invited.stdout).toMatch(/^grace@example\.com,Grace,auditor,inv_/m);
  const refused = await machine.run(["script", "usage-report", "--days", "nine"]);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/^The input is not valid: days /);
  const unknown = await machine.run(["script", "usage"]);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain("There are: expire-instances, import-users, usage-report.");
  expect(await readdir(join(machine.home, "secrets/handover"))).toEqual([]);
});

test("a wrong password is refused with its reason, and nobody is signed in", async () => {
  const refused = await machine.run(
    ["login", "--url", product.ready.api.url ?? "", "--email", email, "--password-stdin", "--json"],
    { stdin: "not the password at all" },
  );
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(JSON.parse(refused.stderr)).toMatchObject({
    error: { reason: "auth.badCredentials", requestId: expect.any(String) },
  });
  const who = await machine.run(["whoami", "--url", product.ready.api.url ?? ""]);
  expect(who.code).toBe(1);
  expect(who.stderr).toContain("npm run minimcp -- login");
});

test("a sign-in is kept in a file of its owner alone, and later commands use its server", async () => {
  await machine.json(["login", "--url", product.ready.api.url ?? "", "--email", email, "--password-stdin"], {
    stdin: `${password}\n`,
  });
  const { mode } = await stat(join(machine.configHome, "minimcp/credentials.json"));
  expect((mode & 0o777).toString(8)).toBe("600");
  expect(await machine.json<Me>(["whoami"])).toMatchObject({ user: { email, role: "admin" } });
});

test("an instance serves with its token until it is revoked, and its receipt tells what it did", async () => {
  const created = await machine.json<CreatedInstance>([
    "run",
    "everything",
    "--for",
    "5m",
    "--label",
    "first",
  ]);
  expect(created.instance).toMatchObject({ state: "ready", type: "everything", label: "first" });
  expect(created.accessToken).toMatch(/^mcp_[0-9A-Za-z]{49}$/);
  const answer = await echo(created, "hello");
  expect(await answer.text()).toContain("Echo: hello");

  const { items } = await machine.json<{ items: InstanceView[] }>(["instances", "ls"]);
  expect(items.map(({ id }) => id)).toEqual([created.instance.id]);
  const prefix = created.instance.id.slice(0, 8);
  expect(await machine.json<InstanceView>(["instances", "show", prefix])).toMatchObject({
    id: created.instance.id,
  });

  const renewed = await machine.json<InstanceView>(["instances", "renew", prefix, "--for", "2h"]);
  expect(renewed.id).toBe(created.instance.id);
  expect(Date.parse(String(renewed.expiresAt)) - Date.now()).toBeGreaterThan(110 * 60_000);
  const tooShort = await machine.run(["instances", "renew", prefix, "--for", "1h"]);
  expect(tooShort.code).not.toBe(0);
  expect(tooShort.stderr).toContain("It lives until");
  expect((await machine.run(["instances", "show", prefix])).stdout).toMatch(
    /renewable +9 more times, to end/,
  );

  const receipt = await machine.json<ReceiptView>(["instances", "revoke", prefix]);
  expect(receipt).toMatchObject({
    final: true,
    endReason: "revoked",
    used: { tools: [{ name: "echo", calls: 1 }] },
  });
  expect((await echo(created, "hello")).status).toBe(401);
  const shown = await machine.run(["instances", "receipt", prefix]);
  expect(shown.stdout).toContain("echo 1 ×");
  expect((await machine.run(["instances", "ls"])).stdout).toContain("no instances");
  expect((await machine.run(["instances", "ls", "--all"])).stdout).toContain("ended (revoked)");
});

test("ISO-12: while an instance runs, no secret of the home, no password and no token is in any command line of the host", async () => {
  const created = await machine.json<CreatedInstance>(["run", "everything", "--for", "5m"]);
  const files = await readdir(join(machine.home, "secrets"), { recursive: true, withFileTypes: true });
  const contents = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async ({ parentPath, name }) => (await readFile(join(parentPath, name), "utf8")).trim()),
  );
  // A lock lies there too, which is empty.
  const secrets = contents.filter((content) => content.length >= 16);
  expect(secrets.length).toBeGreaterThan(2);
  const credentials = await readFile(join(machine.configHome, "minimcp/credentials.json"), "utf8");
  const tokens = credentials.match(/eyJ[\w.-]+|mrt_\w{49}/g) ?? [];
  expect(tokens.length).toBeGreaterThan(1);
  const lines = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandOf(Number(pid)));
  expect(lines.join()).toContain(`${machine.directory}/r/stage/bundle-`);
  const found = [...secrets, ...tokens, password, created.accessToken].filter((secret) =>
    lines.some((line) => line.includes(secret)),
  );
  expect(found).toEqual([]);
  await machine.json(["instances", "revoke", created.instance.id]);
});

test("without --json, the token, the deadline and the way to connect are told", async () => {
  const { stdout, code } = await machine.run([
    "run",
    "everything",
    "--for",
    "1h",
    "--client",
    "vscode",
    "--no-wait",
  ]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/token +mcp_\w{49} \(shown once\)/);
  expect(stdout).toMatch(/ends +in (1 h|59 min)/);
  expect(stdout).toContain('"servers"');
  const [live] = (await machine.json<{ items: InstanceView[] }>(["instances", "ls"])).items;
  await machine.json(["instances", "revoke", live?.id ?? ""]);
});

test("what becomes of an instance, and what its server wrote, is told as it happens and until it is over", async () => {
  const { instance } = await machine.json<CreatedInstance>(["run", "everything", "--for", "5m"]);
  const id = instance.id.slice(0, 8);
  const linesOf = async (args: string[]): Promise<Record<string, unknown>[]> => {
    const { code, stdout, stderr } = await machine.run([...args, "--json"]);
    if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}: ${stderr}`);
    const lines = stdout.split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  let kept: Record<string, unknown>[] = [];
  // Its server says something when it starts; what it writes takes up to a second.
  await until(
    "the log has a line",
    async () => (kept = await linesOf(["instances", "logs", id])).length > 0,
    5_000,
  );
  expect(kept[0]).toMatchObject({ stream: "stderr", droppedBytes: 0, text: expect.any(String) });
  const { stdout } = await machine.run(["instances", "logs", id]);
  expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}\S/);

  const watching = machine.spawn(["instances", "watch", "--json"]);
  await once(watching.stdout ?? watching, "data");
  const [changes, followed] = await Promise.all([
    linesOf(["instances", "watch", id]),
    linesOf(["instances", "logs", id, "--follow"]),
    machine.json(["instances", "revoke", id]),
  ]);
  watching.kill("SIGINT");
  await once(watching, "close");
  expect(changes.at(-1)).toMatchObject({ id: instance.id, state: "ended", endReason: "revoked" });
  expect(followed.slice(0, kept.length)).toEqual(kept);
  const over = await machine.run(["instances", "watch", id]);
  expect(over.stdout).toMatch(/^\d\d:\d\d:\d\d {2}ended \(revoked\)/);
});

test("Ctrl-C while an instance starts revokes it: nobody has its token", async () => {
  const worker = (await status()).gateway.pid ?? 0;
  process.kill(worker, "SIGSTOP");
  try {
    const running = machine.spawn(["run", "everything", "--for", "5m"]);
    const live = async () => (await machine.json<{ items: InstanceView[] }>(["instances", "ls"])).items;
    await until("the instance is there", async () => (await live()).length === 1, 10_000);
    running.kill("SIGINT");
    const [code] = await once(running, "close");
    expect(code).toBe(130);
    expect(await live()).toEqual([]);
  } finally {
    process.kill(worker, "SIGCONT");
  }
});

test("what cannot be run is refused with the reason, and nothing is created", async () => {
  const unknown = await machine.run(["run", "nonsense", "--for", "5m"]);
  expect(unknown).toMatchObject({ code: 1, stdout: "" });
  expect(unknown.stderr).toContain("mcp.typeUnknown");
  const keyless = await machine.run(["run", "everything", "--for", "5m", "--key", "nope"]);
  expect(keyless.stderr).toContain('You have no key "nope"');
  for (const time of ["0", "1441", "25h", "5x", "-5", "1.5h", ""]) {
    expect(await machine.run(["run", "everything", "--for", time])).toMatchObject({ code: 2, stdout: "" });
  }
  expect(await machine.json<{ items: InstanceView[] }>(["instances", "ls"])).toEqual({ items: [] });
});

test("a key comes from standard input, is never shown, and is deleted by its label", async () => {
  const secret = "ghp_0123456789abcdefghijABCDEFGHIJ456789";
  const added = await machine.run(["keys", "add", "github", "--label", "work"], { stdin: `${secret}\n` });
  expect(added).toMatchObject({ code: 0, stderr: "" });
  const listed = await machine.run(["keys", "ls", "--json"]);
  expect(listed.stdout).not.toContain(secret);
  const { items } = JSON.parse(listed.stdout) as { items: ApiKeyView[] };
  expect(items).toMatchObject([{ label: "work", provider: "github", hint: "6789" }]);
  const unconfirmed = await machine.run(["keys", "rm", "work"]);
  expect(unconfirmed.code).toBe(2);
  expect(unconfirmed.stderr).toContain("--yes");
  expect((await machine.run(["keys", "rm", "work", "--yes"])).stdout).toContain("No instance uses it");
  expect(await machine.json(["keys", "ls"])).toEqual({ items: [] });
});

test("an invitation lets one person in", async () => {
  const bob = { stdin: password, environment: { XDG_CONFIG_HOME: join(machine.directory, "bob") } };
  const url = product.ready.api.url ?? "";
  const signUp = ["signup", "--email", "bob@example.com", "--password-stdin", "--url", url];
  expect((await machine.run(signUp, bob)).stderr).toContain("auth.invitationInvalid");
  const { code } = await machine.json<CreatedInvitation>(["admin", "invite", "--email", "bob@example.com"]);
  expect(await machine.run([...signUp, "--invite", code], bob)).toMatchObject({ code: 0 });
  expect(await machine.json<Me>(["whoami"], bob)).toMatchObject({
    user: { email: "bob@example.com", role: "user" },
  });
  expect((await machine.run([...signUp, "--invite", code], bob)).stderr).toContain("auth.invitationInvalid");
  expect(await machine.run(["logout"], bob)).toMatchObject({ code: 0 });
  expect((await machine.run(["whoami"], bob)).stderr).toContain("auth.signInRequired");
});

test("commands that run at once refresh the sign-in once", async () => {
  const path = join(machine.configHome, "minimcp/credentials.json");
  const content = JSON.parse(await readFile(path, "utf8"));
  const { tokens } = content.accounts[content.current];
  const { refreshToken } = tokens;
  tokens.refreshAtMs = 0;
  await writeFile(path, JSON.stringify(content));
  const results = await Promise.all([1, 2, 3].map(() => machine.run(["whoami"])));
  expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
  const after = JSON.parse(await readFile(path, "utf8"));
  expect(after.accounts[after.current].tokens.refreshToken).not.toBe(refreshToken);
  expect(await machine.run(["whoami"])).toMatchObject({ code: 0 });
});

function hasOpen(pid: number | undefined, name: string): boolean {
  const descriptors = `/proc/${pid}/fd`;
  return readdirSync(descriptors).some((fd) => {
    try {
      return readlinkSync(join(descriptors, fd)).endsWith(name);
    } catch {
      // Closed meanwhile.
      return false;
    }
  });
}

test("Ctrl-C in the middle of a refresh loses no sign-in", async () => {
  const path = join(machine.configHome, "minimcp/credentials.json");
  const content = JSON.parse(await readFile(path, "utf8"));
  const { tokens } = content.accounts[content.current];
  tokens.refreshAtMs = 0;
  await writeFile(path, JSON.stringify(content));
  const api = (await status()).api.pid ?? 0;
  process.kill(api, "SIGSTOP");
  const interrupted = machine.spawn(["whoami"]);
  let said = "";
  interrupted.stderr?.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const closed = once(interrupted, "close");
  try {
    await until("the refresh is under way", () => hasOpen(interrupted.pid, "credentials.lock"), 10_000);
    interrupted.kill("SIGINT");
    await until("it says that it waits", () => said.includes("Ctrl-C again"), 5_000);
  } finally {
    process.kill(api, "SIGCONT");
  }
  expect(await closed).toEqual([null, "SIGINT"]);
  expect(await machine.run(["whoami"])).toMatchObject({ code: 0 });
});

test("doctor finds a running product in order", async () => {
  const { ok, checks } = await machine.json<{ ok: boolean; checks: { id: string; status: string }[] }>([
    "doctor",
  ]);
  expect(ok).toBe(true);
  expect(checks.filter(({ status: found }) => found !== "pass")).toEqual([]);
});

test("a second start on the same home says where the first one runs", async () => {
  const second = await machine.run(["start"]);
  expect(second).toMatchObject({ code: 1, stdout: "" });
  expect(second.stderr).toContain(`process ${product.process.pid}`);
  expect(second.stderr).toContain(product.ready.api.url);
  expect((await status()).state).toBe("ready");
});

test("a killed process or database is started again, and an instance goes on with its address and token", async () => {
  survivor = await machine.json<CreatedInstance>(["run", "everything", "--for", "10m"]);
  const before = await status();
  const postmaster = Number(
    (await readFile(join(machine.home, "database/data/postmaster.pid"), "utf8")).split("\n")[0],
  );
  for (const pid of [before.api.pid, before.gateway.pid, postmaster]) process.kill(pid ?? 0, "SIGKILL");
  await until(
    "all three are back",
    async () => {
      const { state, api, gateway, database } = await status();
      return state === "ready" && Math.min(api.restarts, gateway.restarts, database.restarts) > 0;
    },
    30_000,
  );
  await until(
    "the instance answers",
    async () => (await echo(survivor, "still here")).status === 200,
    20_000,
  );
  const after = await status();
  expect(after.api.url).toBe(before.api.url);
  expect(after.gateway.url).toBe(before.gateway.url);
  expect(product.stderr()).toContain("ended unexpectedly");
}, 90_000);

test("nothing but the database outlives a killed start, and the next one takes over at once", async () => {
  const { api, gateway } = product.ready;
  product.process.kill("SIGKILL");
  const killedAt = performance.now();
  await product.ended;
  product = await machine.start({
    API_PORT: new URL(api.url ?? "").port,
    GATEWAY_PORT: new URL(gateway.url ?? "").port,
  });
  expect(performance.now() - killedAt).toBeLessThan(20_000);
  expect(product.ready.nextStep).toBeNull();
  await until(
    "the instance answers",
    async () => (await echo(survivor, "still here")).status === 200,
    20_000,
  );
  await until(
    "one API and one worker are left",
    () => machine.processes().filter((pid) => /apps\/(api|worker)/.test(commandOf(pid))).length === 2,
    10_000,
  );
});

test("stop ends everything and says so; then nothing runs", async () => {
  const stopped = await machine.run(["stop"]);
  expect(stopped).toMatchObject({ code: 0, stdout: "stopped\n" });
  expect(stopped.stderr).toMatch(/worker[^]*api[^]*database/);
  expect(await product.ended).toBe(0);
  expect(machine.processes()).toEqual([]);
  expect(await machine.run(["stop"])).toMatchObject({ code: 3 });
  const over = await machine.run(["status", "--json"]);
  expect(over.code).toBe(3);
  expect(JSON.parse(over.stdout)).toMatchObject({ state: "stopped" });
});
