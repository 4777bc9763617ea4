import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, matchesGlob } from "node:path";

import { expect, it, vi } from "vitest";

import { clientFolder, root, rootBin, run, runOrFail } from "./support/consumer.ts";

/** Pages whose examples are one program each: later blocks use what earlier ones declare. */
const pages = ["README.md", "packages/client/README.md", "docs/scripts.md"];
/** What react.test.ts compiles and runs, and pages that repeat the examples of the source. */
const elsewhere = ["docs/sdk-react.md", "docs/sdk/*.md"];

vi.setConfig({ testTimeout: 240_000 });

it("every example in README.md, on the pages and in the SDK's docstrings compiles against the SDK as it is built", async () => {
  await using cleanUp = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "minimcp-examples-"));
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }));

  const programs = new Map<string, string>();
  for (const page of pages) programs.set(page, blocksOf(await readPage(page)).join("\n"));
  for (const [file, source] of await readSources()) {
    for (const [index, code] of examplesOf(source).entries()) programs.set(`${index}-${file}`, code);
  }
  expect(programs.size).toBeGreaterThanOrEqual(pages.length + 6);
  // An operator's script lies where the others do.
  const runScript = JSON.stringify(join(root, "apps/api/src/scripts/support/run-script.ts"));
  for (const [name, code] of programs) {
    const file = `${name.replaceAll(/[/.]/g, "-")}.ts`;
    await writeFile(join(folder, file), code.replaceAll('"./support/run-script.ts"', runScript));
  }

  const modules = join(folder, "node_modules");
  await mkdir(modules);
  for (const [name, place] of [
    ["@modelcontextprotocol", "test"],
    ["@tanstack", "packages/client"],
    ["commander", "apps/api"],
  ] as const) {
    await symlink(join(root, place, "node_modules", name), join(modules, name));
  }
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        lib: ["es2024", "esnext.disposable", "dom"],
        typeRoots: [join(root, "node_modules/@types")],
        paths: {
          "@minimcp/client": [join(clientFolder, "dist/index.d.ts")],
          "@minimcp/client/react": [join(clientFolder, "dist/react.d.ts")],
        },
      },
      include: ["*.ts"],
      exclude: [],
    }),
  );
  await runOrFail(join(rootBin, "turbo"), ["run", "build", "--filter=@minimcp/client"], root);
  expect(await run(join(rootBin, "tsc"), ["-p", folder], folder)).toEqual({ succeeded: true, printed: "" });
});

it("no example is written so that nobody compiles it", async () => {
  for (const [file, source] of await readSources()) {
    expect(source.match(/\* @example\b/g)?.length ?? 0, file).toBe(examplesOf(source).length);
  }
  const docs = await readdir(join(root, "docs"), { recursive: true });
  for (const page of docs.filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)) {
    if (pages.includes(page) || elsewhere.some((pattern) => matchesGlob(page, pattern))) continue;
    expect(blocksOf(await readPage(page)), page).toEqual([]);
  }
});

async function readSources(): Promise<Map<string, string>> {
  const folder = join(clientFolder, "src");
  const found = new Map<string, string>();
  for (const file of await readdir(folder)) found.set(file, await readFile(join(folder, file), "utf8"));
  return found;
}

/** The programs in the `@example` blocks of a source file. */
function examplesOf(source: string): string[] {
  const blocks = source.matchAll(/^ *\* @example\n *\* ```ts\n((?: *\*.*\n)*?) *\* ```$/gm);
  return [...blocks].map(([, code = ""]) => code.replaceAll(/^ *\* ?/gm, ""));
}

function blocksOf(page: string): string[] {
  return [...page.matchAll(/^```tsx?\n([^]*?)^```$/gm)].map(([, code = ""]) => code);
}

function readPage(page: string): Promise<string> {
  return readFile(join(root, page), "utf8");
}
