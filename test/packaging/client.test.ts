import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import {
  clientFolder,
  compilerOptions,
  type Consumer,
  createConsumer,
  rootBin,
  run,
  runOrFail,
} from "./support/consumer.ts";
import { secretColumns } from "./support/secret-columns.ts";

const clientBin = join(clientFolder, "node_modules/.bin");

const program = `
import { connection, createMiniMcpClient, isReason, memoryStore, MiniMcpError } from "@minimcp/client";
import type { InstanceView, RouterInputs, TokenStore } from "@minimcp/client";

const store: TokenStore = memoryStore();
const client = createMiniMcpClient({ url: "http://127.0.0.1:9", store });

export async function run(input: RouterInputs["mcp"]["create"]): Promise<InstanceView> {
  const created = await client.mcp.create.mutate({ ...input, expirationMinutes: 60 });
  const headers: Record<string, string> = connection(created).headers;
  void headers;
  return await client.waitUntilReady(created.instance, { signal: AbortSignal.timeout(1000) });
}

try {
  const { items } = await client.mcp.list.query({ live: true });
  items.map((instance) => instance.createdAt.toISOString());
} catch (error) {
  if (!(error instanceof MiniMcpError)) throw error;
  const network: boolean = isReason(error, "client.network");
  console.log(network, error.reason satisfies string);
}
`;

// Compilers and package managers, which other test files leave half a machine.
vi.setConfig({ testTimeout: 120_000 });

let consumer: Consumer;

beforeAll(async () => {
  // TypeScript is a peer of tRPC; an older one than ours shows that the declarations are not of one version alone.
  consumer = await createConsumer(["typescript@5.9.3"]);
  await consumer.write("program.ts", program);
  await consumer.write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["program.ts"] }));
}, 240_000);

afterAll(() => consumer[Symbol.asyncDispose]());

describe("the packed client", () => {
  it("has these files and no others", async () => {
    const listed = await runOrFail("tar", ["-tzf", consumer.tarball], consumer.path());
    expect(listed.trim().split("\n").toSorted()).toEqual([
      "package/CHANGELOG.md",
      "package/LICENSE",
      "package/README.md",
      "package/dist/create-client.d.ts",
      "package/dist/index.d.ts",
      "package/dist/index.js",
      "package/dist/react.d.ts",
      "package/dist/react.js",
      "package/package.json",
    ]);
  });

  it("depends on nothing but tRPC and superjson, and imports no more at run time", async () => {
    const manifest = JSON.parse(
      await readFile(consumer.path("node_modules/@minimcp/client/package.json"), "utf8"),
    ) as { dependencies: object; exports: unknown };
    expect(Object.keys(manifest.dependencies)).toEqual(["@trpc/client", "@trpc/server", "superjson"]);
    expect(Object.values(manifest.dependencies)).toEqual(
      expect.arrayContaining([expect.stringMatching(/^\d/)]),
    );
    expect(manifest.exports).toEqual({
      ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
      "./react": { types: "./dist/react.d.ts", default: "./dist/react.js" },
      "./package.json": "./package.json",
    });
    expect(new Set(await importsOf("index.js"))).toEqual(
      new Set(["@trpc/client/links/httpLink", "superjson"]),
    );
    expect(await importsOf("react.js")).toEqual([
      "react",
      "@trpc/client",
      "@trpc/server",
      "@tanstack/react-query",
      "@trpc/server/unstable-core-do-not-import",
    ]);
  });

  it("has declarations that need no other package and tell nothing of the server's insides", async () => {
    const files = ["create-client.d.ts", "index.d.ts", "react.d.ts"];
    const declarations = (await Promise.all(files.map(readPacked))).join("\n");
    expect(declarations).toContain("expirationMinutes: number");
    const names = ["drizzle", "pg", "zod", "Context", "Database"].map((name) => `\\b${name}\\b`);
    const fields = secretColumns.map((column) => `\\b${column}\\??:`);
    for (const inside of [...names, ...fields]) {
      expect(declarations.match(new RegExp(`.*${inside}.*`))?.[0]).toBeUndefined();
    }
    expect(declarations).not.toMatch(/\bimport\("|@minimcp\/(?!client\b)/);
    expect(await importsOf("index.d.ts")).toEqual(["./create-client.js"]);
    expect(await importsOf("create-client.d.ts")).toEqual([]);
    expect(await importsOf("react.d.ts")).toEqual(["./create-client.js", "@tanstack/react-query"]);
  });

  it.each([
    ["TypeScript 7", join(rootBin, "tsc")],
    ["TypeScript 5.9", "node_modules/.bin/tsc"],
  ])("compiles strictly outside the workspace with %s, and what it compiles to runs", async (_, compiler) => {
    await runOrFail(compiler, ["-p", "tsconfig.json", "--outDir", "compiled"], consumer.path());
    const { printed } = await run("node", ["compiled/program.js"], consumer.path());
    expect(printed).toBe("true client.network\n");
  });

  it("is clean for publint and Are The Types Wrong", async () => {
    const published = await run(
      join(clientBin, "publint"),
      ["run", consumer.tarball, "--strict"],
      consumer.path(),
    );
    expect(published).toMatchObject({ succeeded: true });
    const typed = await run(
      join(clientBin, "attw"),
      [consumer.tarball, "--profile", "esm-only", "--no-definitely-typed"],
      consumer.path(),
    );
    expect(typed).toMatchObject({ succeeded: true });
  });

  it("is at most 12 kB with everything of its dependencies that it uses", async () => {
    await consumer.write("bundle/package.json", JSON.stringify({ private: true, type: "module" }));
    await consumer.write("bundle/all.js", 'export * from "@minimcp/client";\n');
    const flags = ["--no-config", "--no-dts", "--minify", "--platform", "browser", "--out-dir", "out"];
    await runOrFail(join(clientBin, "tsdown"), ["all.js", ...flags], consumer.path("bundle"));
    const bundle = await readFile(consumer.path("bundle/out/all.js"));
    expect(bundle.toString()).not.toContain("@trpc/client");
    expect(gzipSync(bundle, { level: 9 }).length).toBeLessThanOrEqual(12_000);
  });
});

function readPacked(file: string): Promise<string> {
  return readFile(consumer.path("node_modules/@minimcp/client/dist", file), "utf8");
}

async function importsOf(file: string): Promise<string[]> {
  const imported = (await readPacked(file)).matchAll(
    /^(?:import|export)\b[^"'\n]*\bfrom "([^"]+)"|^import "([^"]+)"/gm,
  );
  return [...imported].map((match) => match[1] ?? match[2] ?? "");
}

function fileOf(mistake: string): string {
  return `${mistake.replaceAll(" ", "-")}.ts`;
}

/** What goes wrong in a consumer's program, and what the compiler's first line must say of it. */
const mistakes: Record<string, { code: string; says: string | RegExp }> = {
  "a field that is misspelt": {
    code: `await client.mcp.create.mutate({ type: "everything", expirationMinuts: 60 });`,
    says: "'expirationMinuts' does not exist",
  },
  "a field that there is not": {
    code: `await client.mcp.create.mutate({ type: "everything", expirationMinutes: 60, userId: "x" });`,
    says: "'userId' does not exist",
  },
  "a field that is missing": {
    code: `await client.mcp.create.mutate({ type: "everything" });`,
    says: "Property 'expirationMinutes' is missing",
  },
  "a value of another type": {
    code: `await client.mcp.create.mutate({ type: "everything", expirationMinutes: "60" });`,
    says: "Type 'string' is not assignable to type 'number'",
  },
  "a value that is not on the list": {
    code: `await client.apiKey.create.mutate({ provider: "gitlab", label: "work", secret: "s" });`,
    says: `Type '"gitlab"' is not assignable to type '"figma" | "github" | "google"'`,
  },
  "an input where there is none": {
    code: `await client.apiKey.list.query({ limit: 3 });`,
    says: "Type 'number' is not assignable to type 'never'",
  },
  "no input where there is one": {
    code: `await client.mcp.get.query();`,
    says: /Expected \d-\d arguments, but got 0/,
  },
  "a procedure that is misspelt": {
    code: `await client.mcp.creat.mutate({ type: "everything", expirationMinutes: 60 });`,
    says: "Did you mean 'create'?",
  },
  "a noun that is misspelt": {
    code: `await client.apiKeys.list.query();`,
    says: "Property 'apiKeys' does not exist on type 'MiniMcpClient'. Did you mean 'apiKey'?",
  },
  "a mutation that is queried": {
    code: `await client.mcp.create.query({ type: "everything", expirationMinutes: 60 });`,
    says: "Property 'query' does not exist",
  },
  "a field that no answer has": {
    code: `console.log((await client.mcp.list.query()).items[0]?.token);`,
    says: "Property 'token' does not exist on type 'InstanceView'",
  },
  "a reason that is misspelt": {
    code: `isReason(new Error(), "apiKey.notfound");`,
    says: `'"apiKey.notfound"' is not assignable to parameter of type 'MiniMcpErrorReason'`,
  },
  "a client without an address": {
    code: `createMiniMcpClient({ token: "mmp_" });`,
    says: "Argument of type '{ token: string; }' is not assignable to parameter of type 'ClientOptions'",
  },
};

describe("a mistake in a consumer's program is told in one short line that names it:", () => {
  const longestLine = 450;
  const told = new Map<string, string[]>();

  beforeAll(async () => {
    for (const [mistake, { code }] of Object.entries(mistakes)) {
      await consumer.write(
        `mistakes/${fileOf(mistake)}`,
        `import { createMiniMcpClient, isReason } from "@minimcp/client";
const client = createMiniMcpClient({ url: "http://127.0.0.1:5000" });
export { client, isReason };
${code}
`,
      );
    }
    await consumer.write(
      "mistakes/tsconfig.json",
      JSON.stringify({ compilerOptions: { ...compilerOptions, noEmit: true } }),
    );
    const { printed } = await run(join(rootBin, "tsc"), ["-p", "mistakes"], consumer.path());
    for (const line of printed.split("\n")) {
      const [, file, position, message] = /^mistakes\/(.+\.ts)\((\d+),\d+\): error (.*)$/.exec(line) ?? [];
      if (file === undefined || message === undefined) continue;
      told.set(file, [...(told.get(file) ?? []), `line ${position}: ${message}`]);
    }
  }, 120_000);

  it.each(Object.keys(mistakes))("%s", (mistake) => {
    const [line = "", ...more] = told.get(fileOf(mistake)) ?? [];
    expect(more).toEqual([]);
    expect(line).toMatch(/^line 4: /);
    expect(line).toMatch(mistakes[mistake]?.says ?? "");
    expect(line.length).toBeLessThanOrEqual(longestLine);
  });
});
