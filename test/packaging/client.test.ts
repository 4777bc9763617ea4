import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const packageFolder = join(root, "packages/client");
const clientBin = join(packageFolder, "node_modules/.bin");
const rootBin = join(root, "node_modules/.bin");

/** Runs a program with the workspace's own Node, and gives what it printed whether it succeeded or not. */
async function run(file: string, args: string[], cwd: string) {
  const path = [rootBin, process.env["PATH"]].join(delimiter);
  const options = { cwd, env: { ...process.env, PATH: path, NO_COLOR: "1" }, timeout: 120_000 };
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, options);
    return { succeeded: true, printed: stdout + stderr };
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    return { succeeded: false, printed: `${String(error)}\n${stdout}${stderr}` };
  }
}

async function runOrFail(file: string, args: string[], cwd: string): Promise<string> {
  const { succeeded, printed } = await run(file, args, cwd);
  if (!succeeded) throw new Error(printed);
  return printed;
}

const program = `
import { connection, createMiniMcpClient, isReason, memoryStore, MiniMcpError } from "@minimcp/client";
import type { InstanceView, RouterInputs, TokenStore } from "@minimcp/client";

const store: TokenStore = memoryStore();
const client = createMiniMcpClient({ url: URL_OF_SERVER, store });
const types = await client.mcp.types.query();
const titles: string[] = types.items.map((type) => type.title);

export async function run(input: RouterInputs["mcp"]["create"]): Promise<InstanceView> {
  const created = await client.mcp.create.mutate({ ...input, expirationMinutes: 60 });
  const headers: Record<string, string> = connection(created).headers;
  void headers;
  return await client.waitUntilReady(created.instance, { signal: AbortSignal.timeout(1000) });
}

try {
  await createMiniMcpClient({ url: "http://127.0.0.1:9" }).mcp.list.query({ live: true });
} catch (error) {
  if (!(error instanceof MiniMcpError)) throw error;
  const network: boolean = isReason(error, "client.network");
  console.log(titles.join(), types.items[0]?.provider, network, error.reason satisfies string);
}
`;

const wrong = `
import { createMiniMcpClient } from "@minimcp/client";
await createMiniMcpClient({ url: "" }).mcp.create.mutate({ type: "everything", expirationMinuts: 60 });
`;

const compilerOptions = {
  module: "nodenext",
  target: "es2022",
  lib: ["es2022", "dom"],
  types: [],
  strict: true,
  skipLibCheck: false,
  outDir: "compiled",
};

// Compilers and package managers, which other test files leave half a machine.
vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let tarball: string;
const inConsumer = (...parts: string[]) => join(folder, "consumer", ...parts);

/** A MiniMCP API as far as the program needs one. */
const server = createServer((_, response) => {
  const item = { title: "Everything", provider: null };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ result: { data: { json: { items: [item], isolation: null } } } }));
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "minimcp-packaging-"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const url = typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";

  await runOrFail(join(rootBin, "turbo"), ["run", "build", "--filter=@minimcp/client"], root);
  await runOrFail(join(rootBin, "pnpm"), ["pack", "--pack-destination", folder], packageFolder);
  const { version } = JSON.parse(await readFile(join(packageFolder, "package.json"), "utf8")) as {
    version: string;
  };
  tarball = join(folder, `minimcp-client-${version}.tgz`);

  await mkdir(inConsumer());
  await writeFile(inConsumer("package.json"), JSON.stringify({ private: true, type: "module" }));
  await writeFile(inConsumer("program.ts"), program.replace("URL_OF_SERVER", JSON.stringify(url)));
  await writeFile(inConsumer("wrong.ts"), wrong);
  for (const name of ["program", "wrong"]) {
    const config = { compilerOptions, files: [`${name}.ts`] };
    await writeFile(inConsumer(`tsconfig.${name}.json`), JSON.stringify(config));
  }
  // TypeScript is a peer of tRPC; an older one than ours shows that the declarations are not of one version alone.
  await runOrFail("npm", ["install", "--no-audit", "--no-fund", tarball, "typescript@5.9.3"], inConsumer());
}, 240_000);

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

describe("the packed client", () => {
  it("has these files and no others", async () => {
    const listed = await runOrFail("tar", ["-tzf", tarball], folder);
    expect(listed.trim().split("\n").toSorted()).toEqual([
      "package/LICENSE",
      "package/README.md",
      "package/dist/index.d.ts",
      "package/dist/index.js",
      "package/package.json",
    ]);
  });

  it("depends on nothing but tRPC and superjson, and imports no more at run time", async () => {
    const manifest = JSON.parse(
      await readFile(inConsumer("node_modules/@minimcp/client/package.json"), "utf8"),
    ) as { dependencies: object; exports: unknown };
    expect(Object.keys(manifest.dependencies)).toEqual(["@trpc/client", "@trpc/server", "superjson"]);
    expect(Object.values(manifest.dependencies)).toEqual(
      expect.arrayContaining([expect.stringMatching(/^\d/)]),
    );
    expect(manifest.exports).toMatchObject({
      ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
    });
    const code = await readFile(inConsumer("node_modules/@minimcp/client/dist/index.js"), "utf8");
    const imported = [...code.matchAll(/\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g)];
    expect(imported.map((match) => match[1] ?? match[2])).toEqual([
      "@trpc/client/links/httpLink",
      "superjson",
    ]);
  });

  it("has declarations that need no other package and tell nothing of the server's insides", async () => {
    const declarations = await readFile(inConsumer("node_modules/@minimcp/client/dist/index.d.ts"), "utf8");
    expect(declarations).toContain("expirationMinutes: number");
    for (const inside of [
      "drizzle",
      "pg",
      "zod",
      "Context",
      "Database",
      "sealed",
      "passwordHash",
      "tokenHash",
    ]) {
      expect(declarations.match(new RegExp(`.*\\b${inside}\\b.*`))?.[0]).toBeUndefined();
    }
    expect(declarations).not.toMatch(/^import\b|\bimport\(/m);
    expect(declarations).not.toMatch(/@minimcp\/(?!client\b)/);
  });

  it.each([
    ["TypeScript 7", join(rootBin, "tsc")],
    ["TypeScript 5.9", "node_modules/.bin/tsc"],
  ])("compiles strictly outside the workspace with %s, which names a wrong field", async (_, compiler) => {
    expect(await run(compiler, ["-p", "tsconfig.program.json"], inConsumer())).toMatchObject({
      succeeded: true,
    });
    const refused = await run(compiler, ["-p", "tsconfig.wrong.json", "--noEmit"], inConsumer());
    expect(refused.succeeded).toBe(false);
    expect(refused.printed.match(/error TS\d+/g)).toHaveLength(1);
    expect(refused.printed).toMatch(/wrong\.ts\(3,\d+\): error .*'expirationMinuts'/);
  });

  it("runs on the product's Node and on every other that the machine has", async () => {
    await runOrFail(join(rootBin, "tsc"), ["-p", "tsconfig.program.json"], inConsumer());
    const found = await run("which", ["-a", "node"], folder);
    const nodes = new Set([process.execPath, ...found.printed.trim().split("\n")]);
    for (const node of nodes) {
      const { printed } = await run(node, ["compiled/program.js"], inConsumer());
      expect(`${node}: ${printed}`).toBe(`${node}: Everything null true client.network\n`);
    }
  });

  it("is clean for publint and Are The Types Wrong", async () => {
    const published = await run(join(clientBin, "publint"), ["run", tarball, "--strict"], folder);
    expect(published).toMatchObject({ succeeded: true });
    const typed = await run(
      join(clientBin, "attw"),
      [tarball, "--profile", "esm-only", "--no-definitely-typed"],
      folder,
    );
    expect(typed).toMatchObject({ succeeded: true });
  });

  it("is at most 12 kB with everything of its dependencies that it uses", async () => {
    await mkdir(inConsumer("bundle"));
    await writeFile(inConsumer("bundle/package.json"), JSON.stringify({ private: true, type: "module" }));
    await writeFile(inConsumer("bundle/all.js"), 'export * from "@minimcp/client";\n');
    const flags = ["--no-config", "--no-dts", "--minify", "--platform", "browser", "--out-dir", "out"];
    await runOrFail(join(clientBin, "tsdown"), ["all.js", ...flags], inConsumer("bundle"));
    const bundle = await readFile(inConsumer("bundle/out/all.js"));
    expect(bundle.toString()).not.toContain("@trpc/client");
    expect(gzipSync(bundle, { level: 9 }).length).toBeLessThanOrEqual(12_000);
  });
});
