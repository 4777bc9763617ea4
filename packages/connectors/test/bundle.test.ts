import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { expect, it } from "vitest";

import { bundles } from "../src/index.ts";

const execute = promisify(execFile);
const builder = fileURLToPath(new URL("support/build-bundle.ts", import.meta.url));

async function hashFiles(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hashes: Record<string, string> = {};
  for (const file of files.toSorted()) {
    const content = await readFile(file);
    hashes[file.slice(directory.length)] = createHash("sha256").update(content).digest("hex");
  }
  return hashes;
}

it("the same source gives the same bytes, and what is built is what the source says", async () => {
  const directory = await mkdtemp(join(tmpdir(), "bundle-"));
  await execute(process.execPath, [builder, directory]);
  expect(await hashFiles(directory)).toEqual(await hashFiles(bundles.everything.directory));
  await rm(directory, { recursive: true });
});

it("a bundle imports nothing but Node itself", async () => {
  const { directory, entry, args } = bundles.everything;
  for (const file of [entry, args[0] ?? ""]) {
    const source = await readFile(join(directory, file), "utf8");
    const imported = [...source.matchAll(/^(?:import|export) .* from "([^"]+)";$/gm)].map(
      ([, name]) => name ?? "",
    );
    expect(imported.filter((name) => !/^(node:)?[a-z0-9_/]+$/.test(name) || name.startsWith("."))).toEqual(
      [],
    );
  }
});
