import { execFile } from "node:child_process";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { copyRepository } from "./copy-repository.ts";

/** What somebody could write without thinking of the house, and a word of the sentence that `pnpm check` answers. */
const plantedImports = [
  ["packages/router", `import { eq } from "drizzle-orm";\nexport const same = eq;`, "router knows no table"],
  ["packages/router", `import pg from "pg";\nexport const Pool = pg.Pool;`, "router knows no table"],
  [
    "packages/router",
    `import { as } from "@minimcp/db";\nexport const actor = as;`,
    "router imports only core",
  ],
  [
    "packages/core",
    `import { TRPCError } from "@trpc/server";\nexport const E = TRPCError;`,
    "core is the domain",
  ],
  [
    "packages/core",
    `import { appRouter } from "@minimcp/router";\nexport const r = appRouter;`,
    "core imports only db",
  ],
  ["packages/client", `import { z } from "zod";\nexport const s = z.string();`, "at run time"],
  ["packages/client", `import { reasons } from "@minimcp/shared";\nexport const r = reasons;`, "at run time"],
  [
    "packages/client",
    `import type { Me } from "@minimcp/core";\nexport type M = Me;`,
    "client imports only shared",
  ],
  ["packages/shared", `import { z } from "zod";\nexport const s = z.string();`, "shared is types only"],
  [
    "packages/pool",
    `import pg from "pg";\nexport const Pool = pg.Pool;`,
    "pool runs without a control plane",
  ],
  [
    "packages/gateway",
    `import { initTRPC } from "@trpc/server";\nexport const t = initTRPC;`,
    "without a control plane",
  ],
  [
    "packages/connectors",
    `import { sql } from "drizzle-orm";\nexport const q = sql;`,
    "without a control plane",
  ],
  [
    "packages/gateway",
    `import { launch } from "@minimcp/pool";\nexport const l = launch;`,
    "none of our packages",
  ],
  [
    "apps/worker",
    `import { appRouter } from "@minimcp/router";\nexport const r = appRouter;`,
    "worker imports only",
  ],
  ["apps/cli", `import { initTRPC } from "@trpc/server";\nexport const t = initTRPC;`, "through client"],
  ["packages/core", `export const home = process.env["HOME"];`, "reads the environment"],
  ["packages/core", `import { env } from "node:process";\nexport const e = env;`, "reads the environment"],
  [
    "packages/core",
    `import { sql } from "drizzle-orm";\nexport const q = (t: string) => sql.raw(t);`,
    "SQL injection",
  ],
].map(([room, code, sentence], index) => ({ file: `${room}/src/planted-${index}.ts`, code, sentence }));

describe("pnpm check", () => {
  let repository: Awaited<ReturnType<typeof copyRepository>>;
  let migrationsBefore: string[];
  let output: string;
  /** Without the line breaks and frames that tools put into sentences. */
  let unwrapped: string;
  let exitCode: number;

  beforeAll(async () => {
    repository = await copyRepository();
    const inCopy = (path: string): string => join(repository.path, path);
    const edit = async (path: string, change: (text: string) => string): Promise<void> => {
      const text = await readFile(inCopy(path), "utf8");
      const changed = change(text);
      if (changed === text) throw new Error(`There is no place any more for the mistake in ${path}.`);
      await writeFile(inCopy(path), changed);
    };

    for (const { file, code } of plantedImports) await writeFile(inCopy(file), `${code}\n`);
    await edit("packages/pool/package.json", (text) => {
      const manifest = JSON.parse(text);
      manifest.dependencies["@minimcp/db"] = "workspace:*";
      return JSON.stringify(manifest);
    });
    await writeFile(
      inCopy("packages/gateway/src/planted-undeclared.ts"),
      `export { default } from "p-queue";\n`,
    );
    await writeFile(
      inCopy("packages/gateway/src/planted-outside.ts"),
      `export * from "../../pool/src/index.ts";\n`,
    );
    await edit("packages/db/src/schema/users.ts", (text) =>
      text.replace(/email: text\(/, "nickname: text(),\n    $&"),
    );
    await edit("packages/core/src/permission.ts", (text) =>
      text.replace('roles: ["admin"]', 'roles: ["auditor"]'),
    );
    await edit("packages/core/src/config/settings.ts", (text) => text.replace('"127.0.0.1"', '"0.0.0.0"'));
    await edit("pnpm-lock.yaml", (text) =>
      text.replace("resolution: {integrity:", "resolution: {tarball: https://example.com/a.tgz, integrity:"),
    );
    migrationsBefore = await readdir(inCopy("packages/db/migrations"));

    const stages = ["lint", "boundaries", "migrations", "generated", "lockfile"];
    ({ output, exitCode } = await runNode(repository.path, ["scripts/check.ts", ...stages]));
    unwrapped = output.replaceAll(/[\s|]+/g, " ");
  }, 120_000);

  afterAll(() => repository[Symbol.asyncDispose]());

  test("is red, and says which stages are", () => {
    expect(exitCode).toBe(1);
    expect(output).toMatch(/^Red: (?=.*lint)(?=.*boundaries)(?=.*migrations)(?=.*generated)(?=.*lockfile)/m);
  });

  test.for(plantedImports)("refuses $code in $file with the reason", ({ file, sentence }) => {
    const complaints = output.split("\n\n").filter((block) => block.includes(`[${file}:`));
    expect(complaints.join("\n\n")).toContain(sentence);
  });

  test("refuses a room that depends on one that is not below it", () => {
    expect(unwrapped).toContain(
      "Package `@minimcp/db` found without any tag listed in allowlist for `@minimcp/pool`",
    );
  });

  test("refuses an import of a package that is not declared, and of a file outside the package", () => {
    expect(unwrapped).toMatch(/cannot import package `p-queue`[^[]*\[[^\]]*planted-undeclared\.ts/);
    expect(unwrapped).toMatch(/leaves the package[^[]*\[[^\]]*planted-outside\.ts/);
  });

  test("shows the migration that a changed schema lacks, and leaves none behind", async () => {
    expect(output).toContain(`ADD COLUMN "nickname" text`);
    expect(await readdir(join(repository.path, "packages/db/migrations"))).toEqual(migrationsBefore);
  });

  test("names the generated pages that no longer tell the truth", () => {
    expect(output).toContain("docs/permissions.md no longer says what the code does");
    expect(output).toContain("docs/configuration.md no longer says what the code does");
  });

  test("refuses a lock file that names an address to download from", () => {
    expect(output).toContain("resolved by tarball");
  });
});

function runNode(directory: string, args: string[]): Promise<{ output: string; exitCode: number }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      { cwd: directory, timeout: 110_000, maxBuffer: 64 * 2 ** 20 },
      (error, stdout, stderr) =>
        resolve({ output: stdout + stderr, exitCode: error === null ? 0 : Number(error.code ?? -1) }),
    );
  });
}
