import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { type Account, createAdmin, password } from "../../support/accounts.ts";
import { hasChromium, startChromium } from "../../support/dashboard.ts";
import { type Product, startProduct } from "../../support/product.ts";
import {
  compilerOptions,
  type Consumer,
  createConsumer,
  rootBin,
  run,
  runOrFail,
} from "../support/consumer.ts";

/*
 * The client as npm hands it out, in each runtime that its README promises, against a real server.
 */

/** The oldest that package.json admits, and the newest of the line in between; the product's own is the third. */
const otherNodes = ["20.3.0", "22.23.3"];

/** What a program does with a server, from signing in to the end of a stream, told in one line. */
const journey = `
import { createMiniMcpClient, isReason, memoryStore } from "@minimcp/client";

export async function journey(url: string, email: string, password: string): Promise<string> {
  const client = createMiniMcpClient({ url, store: memoryStore() });
  const { user } = await client.auth.signIn.mutate({ email, password });
  const { instance } = await client.mcp.create.mutate({ type: "everything", expirationMinutes: 5 });
  const { id } = instance;
  const states: string[] = [];
  const over = new Promise<void>((resolve, reject) => {
    client.mcp.watch.subscribe(
      { id },
      { onData: ({ state }) => states.push(state), onError: reject, onComplete: resolve },
    );
  });
  const ready = await client.waitUntilReady(instance, { timeoutMs: 20_000 });
  await client.mcp.revoke.mutate({ id });
  await over;
  const unknown = await client.mcp.get.query({ id: user.id }).catch((error: unknown) => error);
  return [
    ready.expiresAt instanceof Date,
    states.at(-1),
    isReason(unknown, "mcp.notFound"),
  ].join(" ");
}
`;
const told = "true ended true";

/** Runs a bundle where there is nothing but what the web and edge runtimes have in common. */
const edgeProgram = `
import { readFileSync } from "node:fs";
import { EdgeVM } from ${JSON.stringify(import.meta.resolve("@edge-runtime/vm"))};

const edge = new EdgeVM();
if (edge.evaluate("typeof process + typeof Buffer + typeof require") !== "undefined".repeat(3)) {
  throw new Error("this is no edge runtime");
}
edge.evaluate(readFileSync("bundle/app.js", "utf8"));
const args = process.argv.slice(2).map((arg) => JSON.stringify(arg));
console.log(await edge.evaluate(\`app.journey(\${args.join()})\`));
// Its timers keep a process alive.
process.exit();
`;

const viteConfig = `
export default {
  build: {
    outDir: "bundle",
    lib: { entry: "src/journey.ts", formats: ["iife"], name: "app", fileName: () => "app.js" },
  },
};
`;

const vite = fileURLToPath(new URL("../../node_modules/vite/bin/vite.js", import.meta.url));

vi.setConfig({ testTimeout: 120_000 });

let product: Product;
let account: Account;
let consumer: Consumer;

beforeAll(async () => {
  product = await startProduct();
  account = await createAdmin(product);
  consumer = await createConsumer();
  await consumer.write("src/journey.ts", journey);
  await consumer.write(
    "src/program.ts",
    `import { journey } from "./journey.js";
     declare const process: { argv: string[] };
     const [url = "", email = "", password = ""] = process.argv.slice(2);
     console.log(await journey(url, email, password));\n`,
  );
  await consumer.write(
    "tsconfig.json",
    JSON.stringify({
      compilerOptions: { ...compilerOptions, rootDir: "src", outDir: "compiled" },
      include: ["src"],
    }),
  );
  await runOrFail(join(rootBin, "tsc"), ["-p", "."], consumer.path());
  await consumer.write("vite.config.js", viteConfig);
  await runOrFail("node", [vite, "build", "--logLevel", "warn"], consumer.path());
}, 240_000);

afterAll(async () => {
  await consumer[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

describe("the packed client works", () => {
  it("in the product's Node", async () => {
    expect(await runWith(process.execPath)).toBe(told);
  });

  it.each(otherNodes)("in Node %s", async (version) => {
    await consumer.write(`node-${version}/package.json`, JSON.stringify({ private: true }));
    const folder = consumer.path(`node-${version}`);
    await runOrFail("npm", ["install", "--no-audit", "--no-fund", `node@${version}`], folder);
    const node = join(folder, "node_modules/node/bin/node");
    expect(await runOrFail(node, ["--version"], folder)).toBe(`v${version}\n`);
    expect(await runWith(node)).toBe(told);
  });

  it("in an edge runtime, which has web APIs and nothing of Node", async () => {
    expect(await readFile(consumer.path("bundle/app.js"), "utf8")).not.toMatch(/\bnode:|\brequire\(/);
    await consumer.write("edge.js", edgeProgram);
    expect(await runWith(process.execPath, "edge.js")).toBe(told);
  });

  it.skipIf(!hasChromium())("in a browser", async () => {
    await using resources = new AsyncDisposableStack();
    const site = resources.use(await serveSite());
    const browser = await startChromium();
    resources.defer(() => browser.close());
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(site.url);
    const args = [account.email, password].map((arg) => JSON.stringify(arg));
    expect(await page.evaluate(`app.journey(location.origin, ${args.join()})`)).toBe(told);
    expect(problems).toEqual([]);
  });
});

async function runWith(node: string, file = "compiled/program.js"): Promise<string> {
  const args = [file, product.api.url, account.email, password];
  const { printed } = await run(node, args, consumer.path());
  return printed.trim();
}

/** A page with the bundle, at one origin with the API: it answers no pages of others. */
async function serveSite(): Promise<AsyncDisposable & { url: string }> {
  const code = await readFile(consumer.path("bundle/app.js"));
  const api = new URL(product.api.url);
  const server = createServer((incoming, outgoing) => {
    if (incoming.url === "/") {
      outgoing.setHeader("content-type", "text/html");
      outgoing.end('<!doctype html><link rel="icon" href="data:,"><script src="/app.js"></script>');
    } else if (incoming.url === "/app.js") {
      outgoing.setHeader("content-type", "text/javascript");
      outgoing.end(code);
    } else {
      const headers = { ...incoming.headers, host: api.host };
      const forwarded = request(
        new URL(incoming.url ?? "/", api),
        { method: incoming.method, headers },
        (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        },
      );
      outgoing.once("close", () => forwarded.destroy());
      forwarded.once("error", () => outgoing.destroy());
      incoming.pipe(forwarded);
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
