import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

// @boundaries-ignore The product as its user starts it; how the command line's own tests do that.
import { environmentOf, Machine, type Started } from "../../apps/cli/test/support/machine.ts";

/*
 * What `minimcp start` does with the dashboard. The attack: whoever gets into the process that faces browsers finds in
 * its environment what opens the database or the keys.
 */

const withDashboard = { DASHBOARD: "on", DASHBOARD_PORT: "0" };
const password = "four unrelated words together";

let machine: Machine;

beforeAll(async () => {
  machine = await Machine.create();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

const asOwnPage = {
  method: "POST",
  headers: { "content-type": "application/json", "sec-fetch-site": "same-origin" },
};

/** What the page sends when somebody has opened the link and filled it in. */
function describeAccount(link: string | null, email: string): { url: string; body: string } {
  const { origin, hash } = new URL(link ?? "");
  const account = { inviteCode: hash.slice(1), email, name: "", password };
  return { url: `${origin}/api/account`, body: JSON.stringify(account) };
}

async function createAccount(link: string | null, email = "ada@example.com"): Promise<Response> {
  const { url, body } = describeAccount(link, email);
  return await fetch(url, { ...asOwnPage, body });
}

/** @returns the status, of a server with this certificate */
async function createAccountEncrypted(link: string | null, ca: Buffer): Promise<number | undefined> {
  const { url, body } = describeAccount(link, "ada@example.com");
  const outgoing = request(url, { ...asOwnPage, ca, agent: false });
  outgoing.end(body);
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  answer.resume();
  return answer.statusCode;
}

describe("a product without a dashboard", () => {
  let product: Started;

  beforeAll(async () => {
    product = await machine.start(withDashboard, ["--no-dashboard"]);
  }, 120_000);

  afterAll(async () => {
    await machine.run(["stop"]);
  });

  test("starts nothing of it, and says how the first administrator is made in a terminal", async () => {
    expect(product.ready).toMatchObject({ dashboard: null, setUpUrl: null });
    expect(product.ready.nextStep).toContain("admin create");
    const running = machine.processes().map((pid) => environmentOf(pid));
    expect(running.filter((environment) => environment.includes("SESSION_SECRET"))).toEqual([]);
    expect(existsSync(join(machine.home, "secrets/session-secret"))).toBe(false);
    expect(existsSync(join(machine.home, "logs/dashboard.log"))).toBe(false);
    expect((await machine.run(["status"])).stdout).toMatch(/^dashboard +off$/m);
  });
});

describe("a product with a dashboard", () => {
  let product: Started;

  beforeAll(async () => {
    product = await machine.start(withDashboard);
  }, 120_000);

  test("hands it its addresses by name, two secrets as files, and nothing of database and keys", async () => {
    const { api, dashboard } = product.ready;
    const given = environmentOf(dashboard?.pid ?? 0).split("\0");
    const names = given.map((setting) => setting.split("=")[0] ?? "");
    // Besides how Node reaches the supervisor.
    expect(new Set(names.filter((name) => name !== "" && !name.startsWith("NODE_CHANNEL_")))).toEqual(
      new Set([
        "DASHBOARD_PORT",
        "HOP_SECRET_FILE",
        "NODE_COMPILE_CACHE",
        "NODE_ENV",
        "PATH",
        "PUBLIC_URL",
        "SESSION_SECRET_FILE",
      ]),
    );
    expect(given).toContain(`PUBLIC_URL=${api.url}`);
  });

  test("keeps its sealing key to its owner and to it, and what API and dashboard share on no disk", async () => {
    const file = join(machine.home, "secrets/session-secret");
    expect(((await stat(file)).mode & 0o777).toString(8)).toBe("600");
    const key = (await readFile(file, "utf8")).trim();
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    for (const pid of machine.processes()) expect(environmentOf(pid)).not.toContain(key);
    const { api, gateway } = product.ready;
    for (const { pid } of [api, gateway]) expect(environmentOf(pid ?? 0)).not.toContain("SESSION_SECRET");
    expect(readdirSync(join(machine.home, "secrets/handover"))).toEqual([]);
  });

  test("finds it in order when it looks", async () => {
    expect((await machine.run(["status"])).stdout).toMatch(/^dashboard +http:\S+, ready, process \d+$/m);
    const { checks } = await machine.json<{ checks: { id: string }[] }>(["doctor"]);
    expect(checks).toContainEqual(expect.objectContaining({ id: "dashboard.health", status: "pass" }));
  });

  test("ends it first when it is stopped", async () => {
    const { stderr } = await machine.run(["stop"]);
    expect(stderr).toMatch(/dashboard[^]*worker[^]*api[^]*database/);
    expect(await product.ended).toBe(0);
    expect(machine.processes()).toEqual([]);
  });

  test("makes a new set-up link at each start; the former one opens nothing, the newest opens once", async () => {
    const former = product.ready.setUpUrl;
    product = await machine.start(withDashboard);
    const { setUpUrl, dashboard } = product.ready;
    expect(setUpUrl?.startsWith(`${dashboard?.url}/set-up#inv_`)).toBe(true);

    const stale = `${dashboard?.url}/set-up${new URL(former ?? "").hash}`;
    const refused = await createAccount(stale);
    expect(refused.status).toBe(422);
    expect(await refused.json()).toMatchObject({ reason: "auth.invitationInvalid" });

    const created = await createAccount(setUpUrl);
    expect(created.status, await created.text()).toBe(200);
    const cookie = created.headers.getSetCookie().map((line) => line.split(";")[0]);
    const home = await fetch(dashboard?.url ?? "", {
      headers: { cookie: cookie.join("; ") },
      redirect: "manual",
    });
    expect(home.status, "the newcomer is signed in").toBe(200);
    expect((await createAccount(setUpUrl)).status).toBe(422);
  }, 90_000);

  test("gives the next person a link as well, which lets them in as a user", async () => {
    const { api, dashboard } = product.ready;
    await machine.json(["login", "--url", api.url ?? "", "--email", "ada@example.com", "--password-stdin"], {
      stdin: password,
    });
    const { joinUrl } = await machine.json<{ joinUrl: string }>(["admin", "invite"]);
    expect(joinUrl.startsWith(`${dashboard?.url}/join#inv_`)).toBe(true);
    expect((await fetch(joinUrl)).status).toBe(200);
    expect((await createAccount(joinUrl, "bob@example.com")).status).toBe(200);
    await machine.json(["login", "--email", "bob@example.com", "--password-stdin"], { stdin: password });
    expect(await machine.json(["whoami"])).toMatchObject({ user: { role: "user" } });
    await machine.run(["stop"]);
  }, 90_000);
});

test("pages reach an API whose certificate no authority has signed, where it is the installation's own", async () => {
  await using encrypted = await Machine.create();
  const [cert, key] = [join(encrypted.directory, "cert.pem"), join(encrypted.directory, "key.pem")];
  const kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost";
  const files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert];
  await promisify(execFile)("openssl", [...kind.split(" "), ...files]);
  const { ready } = await encrypted.start({ ...withDashboard, TLS_CERT_FILE: cert, TLS_KEY_FILE: key });
  expect(ready.setUpUrl).toMatch(/^https:/);
  expect(await createAccountEncrypted(ready.setUpUrl, await readFile(cert))).toBe(200);
}, 90_000);
