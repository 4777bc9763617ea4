import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A directory of migrations as drizzle-kit writes it, one a millisecond. */
export async function writeMigrations(
  statements: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { directory: string }> {
  const directory = await mkdtemp("/tmp/minimcp-migrations-");
  await mkdir(join(directory, "meta"));
  const entries = Object.keys(statements).map((tag, idx) => ({
    idx,
    version: "7",
    when: idx + 1,
    tag,
    breakpoints: true,
  }));
  await writeFile(
    join(directory, "meta/_journal.json"),
    JSON.stringify({ version: "7", dialect: "postgresql", entries }),
  );
  for (const [tag, statement] of Object.entries(statements))
    await writeFile(join(directory, `${tag}.sql`), statement);
  return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}
