/**
 * Writes the pages of docs/ that the code already says: `node scripts/generate-docs.ts`. With `--check` it writes
 * nothing and fails when a page is not what it would write.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { repositoryRoot } from "./bootstrap/paths.mjs";
import { describeConfiguration } from "./docs/describe-configuration.ts";
import { describeGuarantees } from "./docs/describe-guarantees.ts";
import { describePermissions } from "./docs/describe-permissions.ts";
import { describeSdk } from "./docs/describe-sdk.ts";

const pages: Record<string, string> = {
  "docs/configuration.md": await describeConfiguration(),
  "docs/permissions.md": describePermissions(),
  ...(await describeGuarantees(repositoryRoot)),
  ...(await describeSdk()),
};

const onlyCheck = process.argv.includes("--check");
for (const [path, page] of Object.entries(pages)) {
  const file = join(repositoryRoot, path);
  if (!onlyCheck) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, page);
  } else if ((await readFile(file, "utf8").catch(() => "")) !== page) {
    process.stderr.write(
      `${path} no longer says what the code does. Run \`pnpm docs:generate\` and commit it.\n`,
    );
    process.exitCode = 1;
  }
}
