import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin } from "../support/accounts.ts";
import { createInstance, echo, type Instance, moveDeadline } from "../support/instances.ts";
import { type Product, startProduct } from "../support/product.ts";

/*
 * Programs that people really use, as they are published: MCP Inspector and Claude Code. No network, no sign-in.
 */

let product: Product;
let owner: Account;
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "minimcp-clients-"));
  product = await startProduct();
  owner = await createAdmin(product);
});

afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

interface Ran {
  code: number;
  output: string;
}

const programs = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));

/** Runs a program of this package's dependencies with a home of its own. */
async function runClient(name: string, args: readonly string[]): Promise<Ran> {
  return await new Promise((resolve) => {
    execFile(
      join(programs, name),
      args,
      {
        cwd: home,
        timeout: 25_000,
        env: {
          PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
          HOME: home,
          CLAUDE_CONFIG_DIR: join(home, "claude"),
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
          DISABLE_AUTOUPDATER: "1",
        },
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : Number(error.code ?? -1);
        resolve({ code, output: stdout + stderr });
      },
    );
  });
}

async function inspect({ endpoint, token }: Instance, ...args: string[]): Promise<Ran> {
  const header = `Authorization: Bearer ${token}`;
  const target = ["--cli", endpoint, "--transport", "http", "--header", header];
  return await runClient("mcp-inspector", [...target, ...args]);
}

test("MCP Inspector lists and calls tools, and says what is wrong once the instance has expired", async () => {
  const instance = await createInstance(product, owner);
  const listed = await inspect(instance, "--method", "tools/list");
  expect(listed.code, listed.output).toBe(0);
  const names = (JSON.parse(listed.output) as { tools: { name: string }[] }).tools.map(({ name }) => name);
  expect(names).toContain("get-sum");
  const call = ["--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hi"];
  const called = await inspect(instance, ...call);
  expect(called.code, called.output).toBe(0);
  expect(JSON.parse(called.output)).toMatchObject({ content: [{ type: "text", text: "Echo: hi" }] });
  const modern = await inspect(instance, "--protocol-era", "modern", ...call);
  expect(modern.code, modern.output).toBe(0);
  expect(modern.output).toContain("Echo: hi");

  await moveDeadline(product, instance.id, 0);
  const refused = await inspect(instance, ...call);
  expect(refused.code, refused.output).not.toBe(0);
  // Its word for a 401 without a sign-in that it could offer.
  expect(JSON.parse(refused.output)).toMatchObject({ error: { code: "auth_required" } });
});

test("Claude Code connects, and does not any more once the instance has expired", async () => {
  const instance = await createInstance(product, owner);
  await echo(instance);
  const added = await runClient("claude", [
    "mcp",
    "add",
    "--transport",
    "http",
    "mini",
    instance.endpoint,
    "--header",
    `Authorization: Bearer ${instance.token}`,
  ]);
  expect(added.code, added.output).toBe(0);
  const listed = await runClient("claude", ["mcp", "list"]);
  expect(listed.output).toMatch(/mini: .*Connected/);

  await moveDeadline(product, instance.id, 0);
  const after = await runClient("claude", ["mcp", "list"]);
  expect(after.output).toMatch(/mini: .*Failed to connect.*HTTP 401.*The instance has expired/);
});
