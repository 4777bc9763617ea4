import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { run } from "../support/sql.ts";
import { type Account, createAdmin, createUser, password } from "../support/accounts.ts";
import { mutate, query } from "../support/call.ts";
import { createInstance, echo, send } from "../support/instances.ts";
import { type Product, startProduct, testMasterKey } from "../support/product.ts";
import { until } from "../support/until.ts";

let product: Product;
let admin: Account;
let ada: Account;
let bob: Account;

beforeAll(async () => {
  product = await startProduct();
  admin = await createAdmin(product);
  [ada, bob] = await Promise.all([createUser(product, admin), createUser(product, admin)]);
});

afterAll(() => product[Symbol.asyncDispose]());

/** Runs a script as an operator does, in the API's environment. */
async function runScript(
  name: string,
  args: readonly string[],
  options: { input?: string; env?: object } = {},
) {
  const script = fileURLToPath(new URL(`../../apps/api/src/scripts/${name}.ts`, import.meta.url));
  const settings = { MASTER_KEY: testMasterKey, DATABASE_URL_API: product.database.apiUrl };
  const child = spawn(process.execPath, [script, ...args], {
    env: { PATH: process.env["PATH"], ...(options.env ?? settings) },
    timeout: 30_000,
  });
  child.stdin.end(options.input ?? "");
  const [printed, complaint, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { code, printed, complaint };
}

function newAddress(): string {
  return `new-${randomUUID().slice(0, 8)}@example.com`;
}

/** @param line of the output of import-users */
async function signUp(email: string, line: string) {
  const inviteCode = /inv_[0-9A-Za-z]+/.exec(line)?.[0];
  return await mutate(product.api.url, "auth.signUp", { email, password, inviteCode });
}

async function countInvitations(): Promise<unknown> {
  return await run(product.database.ownerUrl, "select count(*)::int as count from invitations");
}

test.each(["import-users", "expire-instances", "usage-report"])(
  "%s tells how it is used, without any configuration",
  async (name) => {
    const { code, printed } = await runScript(name, ["--help"], { env: {} });
    expect(code).toBe(0);
    expect(printed).toContain(`Usage: ${name} [options]`);
  },
);

test("a script refuses an option that it does not know", async () => {
  const { code, printed, complaint } = await runScript("usage-report", ["--frobnicate"]);
  expect({ code, printed }).toEqual({ code: 1, printed: "" });
  expect(complaint).toContain("unknown option '--frobnicate'");
});

test("a script without the API's settings names those that are missing", async () => {
  const { code, printed, complaint } = await runScript("usage-report", [], { env: {} });
  expect({ code, printed }).toEqual({ code: 78, printed: "" });
  expect(complaint).toContain("DATABASE_URL_API: is required");
  expect(complaint).toContain("MASTER_KEY: is required");
});

describe("import-users", () => {
  test("invites everybody in the file: each code makes the account of its row, and no other", async () => {
    const [first, second] = [newAddress(), newAddress()];
    const input = `name,email,role\nAda Lovelace,${first.toUpperCase()},\n"=cmd|' /C calc'!A0, x",${second},auditor\n`;
    const { code, printed, complaint } = await runScript("import-users", ["-"], { input });
    expect({ code, complaint }).toEqual({ code: 0, complaint: "" });
    const [head, one = "", two = ""] = printed.trim().split("\n");
    expect(head).toBe("email,name,role,code,expiresAt");
    expect(one).toMatch(new RegExp(`^${first},Ada Lovelace,user,inv_[0-9A-Za-z]{49},20`));
    // What a spreadsheet would run as a formula is text.
    expect(two).toContain(`"'=cmd|' /C calc'!A0, x",auditor,inv_`);
    expect((await signUp(newAddress(), two)).error?.reason).toBe("auth.invitationInvalid");
    expect((await signUp(second, two)).data.user).toMatchObject({ email: second, role: "auditor" });
  });

  test("invites nobody when a row is wrong, and names everything that is", async () => {
    const before = await countInvitations();
    const twice = newAddress();
    const input = [
      "email,name,role",
      `${twice},Ada,user`,
      "not-an-address,Bob,user",
      `${newAddress()},,owner`,
      `${twice},Ada again,user`,
    ].join("\n");
    const { code, printed, complaint } = await runScript("import-users", ["-"], { input });
    expect({ code, printed }).toEqual({ code: 1, printed: "" });
    expect(complaint).toMatch(/^Nobody was invited:\nline 3: email: /);
    expect(complaint).toMatch(/line 4: name: .*\nline 4: role: .*\nline 5: email: is in the file twice\n$/);
    expect(await countInvitations()).toEqual(before);
  });

  test.each([
    [
      "with an address that has an account",
      () => `email,name,role\n${ada.email},Ada,user\n`,
      () => ada.email,
    ],
    ["with a column too many", () => `email,name,role,admin\n${newAddress()},Ada,user,yes\n`, () => "admin"],
    ["with a row that is too short", () => `email,name,role\n${newAddress()}\n`, () => "This is not CSV"],
  ])("invites nobody from a file %s", async (_, input, complaint) => {
    const before = await countInvitations();
    const refused = await runScript("import-users", ["-"], { input: input() });
    expect({ code: refused.code, printed: refused.printed }).toEqual({ code: 1, printed: "" });
    expect(refused.complaint).toContain(complaint());
    expect(await countInvitations()).toEqual(before);
  });

  test("tells of a file that is not there", async () => {
    const { code, complaint } = await runScript("import-users", ["/nowhere/users.csv"]);
    expect(code).toBe(1);
    expect(complaint).toMatch(/^The file cannot be read: .*\n$/);
  });

  test("as a dry run only says whom it would invite", async () => {
    const before = await countInvitations();
    const email = newAddress();
    const input = `email,name,role\n${email},Ada,admin\n`;
    const { code, printed } = await runScript("import-users", ["-", "--dry-run"], { input });
    expect({ code, printed }).toEqual({ code: 0, printed: `email,name,role\n${email},Ada,admin\n` });
    expect(await countInvitations()).toEqual(before);
  });
});

describe("expire-instances and usage-report", () => {
  test("end all of one user's instances and nobody else's, and report what was used", async () => {
    const [first, second, bobs] = await Promise.all([
      createInstance(product, ada, { label: "first" }),
      createInstance(product, ada),
      createInstance(product, bob),
    ]);
    await Promise.all([echo(first), echo(second), echo(bobs)]);
    await echo(first);
    await expect(send({ ...first, token: `mcp_${"0".repeat(49)}` }, "tools/list")).resolves.toMatchObject({
      status: 401,
    });
    const live = async (owner: Account): Promise<string[]> => {
      const listed = await query(product.api.url, "mcp.list", { live: true }, { token: owner.token });
      return listed.data.items.map((item: { id: string }) => item.id).toSorted();
    };

    const dry = await runScript("expire-instances", ["--email", ada.email, "--dry-run"]);
    expect(dry.code).toBe(0);
    expect(dry.printed).toMatch(
      new RegExp(`^would end ${first.id} {2}everything {2}first {2}\\(until 20`, "m"),
    );
    expect(await live(ada)).toEqual([first.id, second.id].toSorted());

    const ended = await runScript("expire-instances", ["--email", ada.email.toUpperCase()]);
    expect({ code: ended.code, complaint: ended.complaint }).toEqual({ code: 0, complaint: "" });
    expect(ended.printed.match(/^ended /gm)).toHaveLength(2);
    expect(await live(ada)).toEqual([]);
    expect((await send(first, "tools/list")).status).toBe(401);
    expect(await live(bob)).toEqual([bobs.id]);
    const trail = await run(
      product.database.ownerUrl,
      `select distinct user_id, user_agent from audit.events where action = 'admin.instances.terminate'`,
    );
    expect(trail).toEqual([{ user_id: null, user_agent: "script expire-instances" }]);
    const again = await runScript("expire-instances", ["--email", ada.email]);
    expect(again).toMatchObject({ code: 0, printed: `${ada.email} has no live instances.\n` });

    // The calls of what still runs are written down each second.
    let report: unknown[] = [];
    await until("the report counts every call", async () => {
      const { printed } = await runScript("usage-report", ["--json"]);
      const { items } = JSON.parse(printed) as { items: { calls: number }[] };
      report = items;
      return items.reduce((sum, { calls }) => sum + calls, 0) === 4;
    });
    const common = { type: "everything", minutes: 0, denials: 0, failures: 0 };
    expect(report).toEqual([
      { ...common, userId: ada.id, email: ada.email, instances: 2, calls: 3 },
      { ...common, userId: bob.id, email: bob.email, instances: 1, calls: 1 },
    ]);

    // Ada's first one served for an hour and a half more, and Bob's is of the day before yesterday.
    const { ownerUrl } = product.database;
    await run(ownerUrl, "update instances set ready_at = ready_at - interval '90 minutes' where id = $1", [
      first.id,
    ]);
    await run(ownerUrl, "update instances set created_at = created_at - interval '2 days' where id = $1", [
      bobs.id,
    ]);
    const { printed } = await runScript("usage-report", ["--days", "1"]);
    expect(printed).toBe(`Instances that were created in the last 1 days
${ada.email}  everything  2 instances, 90 minutes, 3 calls, 0 denied, 0 unanswered
`);
  });

  test("tell of an address that has no account, and of days that are none", async () => {
    const nobody = await runScript("expire-instances", ["--email", "nobody@example.com"]);
    expect(nobody.code).toBe(1);
    expect(nobody.complaint).toBe("Nobody has an account with the address nobody@example.com.\n");
    const never = await runScript("usage-report", ["--days", "0"]);
    expect(never.code).toBe(1);
    expect(never.complaint).toMatch(/^The input is not valid: days /);
  });
});
