import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The TypeScript of a page, as one module: its later blocks use what the earlier ones declare. */
function examplesOf(page: string): string {
  return [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, block]) => block).join("\n");
}

it.each(["README.md", "packages/client/README.md"])("the examples in %s compile", async (page) => {
  await using cleanUp = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "minimcp-readme-"));
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }));
  const examples = examplesOf(await readFile(join(root, page), "utf8"));
  expect(examples).toContain("@minimcp/client");
  await writeFile(join(folder, "examples.ts"), examples);
  // Where the official clients are: no package but test has them.
  await symlink(join(root, "test/node_modules"), join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        lib: ["es2024", "esnext.disposable", "dom"],
        typeRoots: [join(root, "node_modules/@types")],
        paths: { "@minimcp/client": [join(root, "packages/client/src/index.ts")] },
      },
      include: ["examples.ts"],
      exclude: [],
    }),
  );
  const compiled = promisify(execFile)(join(root, "node_modules/.bin/tsc"), ["-p", folder], {
    timeout: 25_000,
  });
  await expect(compiled).resolves.toMatchObject({ stdout: "" });
});
