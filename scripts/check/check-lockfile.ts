import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { parse } from "yaml";
import { z } from "zod";

import { repositoryRoot } from "../bootstrap/paths.mjs";
import { runTool } from "./run-tool.ts";
import type { Verdict } from "./run-tool.ts";

const Lockfile = z.object({
  importers: z.record(
    z.string(),
    z.partialRecord(
      z.enum(["dependencies", "devDependencies", "optionalDependencies"]),
      z.record(z.string(), z.object({ specifier: z.string(), version: z.string() })),
    ),
  ),
  packages: z.record(z.string(), z.object({ resolution: z.record(z.string(), z.unknown()) })),
});

const integrity = /^sha512-[A-Za-z0-9+/]{86}==$/;
const registryVersion = /^\d+\.\d+\.\d+/;

/**
 * The lock file lets nothing in but packages of the registry that match their hash: an address beside the hash would
 * let whoever edits the lock file choose the host that is asked (CWE-829), and would name one machine's registry.
 */
export async function checkLockfile(signal: AbortSignal): Promise<Verdict> {
  const lockfile = Lockfile.parse(parse(await readFile(join(repositoryRoot, "pnpm-lock.yaml"), "utf8")));
  const problems: string[] = [];
  for (const [name, { resolution }] of Object.entries(lockfile.packages)) {
    if (!integrity.test(String(resolution["integrity"]))) problems.push(`${name}: no sha512 integrity`);
    for (const key of Object.keys(resolution)) {
      if (key !== "integrity") problems.push(`${name}: resolved by ${key}, not by the registry's hash alone`);
    }
  }
  for (const [importer, groups] of Object.entries(lockfile.importers)) {
    for (const [name, { version }] of Object.values(groups).flatMap((group) => Object.entries(group ?? {}))) {
      if (!registryVersion.test(version) && !version.startsWith("link:")) {
        problems.push(`${importer}: ${name} comes from ${version}, not from the registry`);
      }
    }
  }
  if (problems.length > 0) return { ok: false, output: problems.join("\n") };

  const pnpm = join(repositoryRoot, "node_modules/.bin/pnpm");
  return await runTool(pnpm, ["install", "--frozen-lockfile", "--lockfile-only", "--offline"], { signal });
}
