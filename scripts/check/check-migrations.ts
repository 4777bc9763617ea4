import { cp, mkdtemp, readFile, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { repositoryRoot } from "../bootstrap/paths.mjs";
import { runTool } from "./run-tool.ts";
import type { Verdict } from "./run-tool.ts";

const db = join(repositoryRoot, "packages/db");

/**
 * The schema and the committed migrations say the same: generating another one changes nothing. It happens in a copy,
 * so that a red check leaves no half-wanted migration in the tree.
 */
export async function checkMigrations(signal: AbortSignal): Promise<Verdict> {
  const copy = await mkdtemp(join(tmpdir(), "minimcp-migrations-"));
  try {
    for (const name of ["src", "migrations", "drizzle.config.ts", "package.json"]) {
      await cp(join(db, name), join(copy, name), { recursive: true });
    }
    await symlink(join(db, "node_modules"), join(copy, "node_modules"));
    const drizzleKit = join(db, "node_modules/drizzle-kit/bin.cjs");
    const generated = await runTool(process.execPath, [drizzleKit, "generate", "--name", "drift"], {
      signal,
      cwd: copy,
    });
    if (!generated.ok) return generated;

    const committed = await readFiles(join(db, "migrations"));
    const changed = [...(await readFiles(join(copy, "migrations")))].filter(
      ([name, content]) => committed.get(name) !== content,
    );
    if (changed.length === 0) return { ok: true, output: "" };
    const sql = changed
      .filter(([name]) => name.endsWith(".sql"))
      .map(([name, content]) => `-- ${name}\n${content}`);
    return {
      ok: false,
      output: `packages/db/src/schema has changes without a migration. Run \`pnpm db:generate --name <what it does>\`, read it, commit it:\n${sql.join("\n")}`,
    };
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function readFiles(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (file): Promise<[string, string]> => [
        file.slice(directory.length + 1),
        await readFile(file, "utf8"),
      ]),
    ),
  );
}
