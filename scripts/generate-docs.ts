/**
 * Writes the pages of docs/ that the code already says: `node scripts/generate-docs.ts`. With `--check` it writes
 * nothing and fails when a page is not what it would write.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { repositoryRoot } from "./bootstrap/paths.mjs";
import { describeConfiguration } from "./docs/describe-configuration.ts";
import { describePermissions } from "./docs/describe-permissions.ts";

const pages: Record<string, () => Promise<string> | string> = {
  "docs/configuration.md": describeConfiguration,
  "docs/permissions.md": describePermissions,
};

const onlyCheck = process.argv.includes("--check");
for (const [path, describe] of Object.entries(pages)) {
  const page = await describe();
  const file = join(repositoryRoot, path);
  if (!onlyCheck) await writeFile(file, page);
  else if ((await readFile(file, "utf8").catch(() => "")) !== page) {
    process.stderr.write(
      `${path} no longer says what the code does. Run \`pnpm docs:generate\` and commit it.\n`,
    );
    process.exitCode = 1;
  }
}
