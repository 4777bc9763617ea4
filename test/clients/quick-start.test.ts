import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { type Product, startProduct } from "../support/product.ts";

/*
 * What a newcomer copies first, on a real product: it ends in a call of the official MCP client.
 */

const root = fileURLToPath(new URL("../..", import.meta.url));
const callEcho = `console.log(await mcp.callTool({ name: "echo", arguments: { message: "hello" } }));`;

let product: Product;
let account: Account;

beforeAll(async () => {
  product = await startProduct();
  account = await createAdmin(product);
});

afterAll(() => product[Symbol.asyncDispose]());

test("the TypeScript of README.md reaches a tool of its endpoint", async () => {
  const [program = ""] = await readBlocks("README.md");
  expect(program).toContain(callEcho);
  expect(await runProgram([program, "await mcp.close();"])).toContain("Echo: hello");
});

test("the first steps of the SDK's page reach a tool of the endpoint, and follow it to its end", async () => {
  const blocks = await readBlocks("packages/client/README.md");
  const [create = "", connect = ""] = blocks;
  const watch = blocks.find((code) => code.includes("client.watch(")) ?? "";
  const revoke = "await client.mcp.revoke.mutate({ id: created.instance.id });";
  const page = await readFile(join(root, "packages/client/README.md"), "utf8");
  expect(page).toContain(revoke.slice("await ".length, -1));
  const printed = await runProgram([create, connect, callEcho, "await mcp.close();", revoke, watch]);
  expect(printed).toContain("Echo: hello");
  expect(printed).toMatch(/^ended \d+$/m);
});

async function readBlocks(page: string): Promise<string[]> {
  const text = await readFile(join(root, page), "utf8");
  return [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code = ""]) => code);
}

/** Runs blocks as one program, with address and account in place of those on the page. */
async function runProgram(blocks: readonly string[]): Promise<string> {
  await using cleanUp = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "minimcp-quick-start-"));
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }));
  const onPage = [
    ["http://127.0.0.1:5000", product.api.url],
    ["you@example.com", account.email],
    ["four unrelated words together", password],
  ] as const;
  const program = onPage.reduce((code, [written, real]) => code.replaceAll(written, real), blocks.join("\n"));
  await writeFile(join(folder, "program.ts"), program);
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await symlink(join(root, "test/node_modules"), join(folder, "node_modules"));
  const options = { cwd: folder, timeout: 60_000 };
  const { stdout } = await promisify(execFile)(process.execPath, ["program.ts"], options);
  return stdout;
}
