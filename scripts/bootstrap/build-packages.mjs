import { join } from "node:path";

import { repositoryRoot } from "./paths.mjs";
import { runLogged } from "./run-logged.mjs";

/**
 * Builds the named packages and what they depend on. Turbo's cache decides what there is to do: nothing costs 0.1 s.
 *
 * @param {string[]} packages names or globs
 * @throws with the output of the failed build
 */
export async function buildPackages(packages) {
  if (packages.length === 0) return;
  const turbo = join(repositoryRoot, "node_modules/.bin/turbo");
  const filters = packages.map((name) => `--filter=${name}`);
  const { ok, log, output } = await runLogged("build", turbo, [
    "run",
    "build",
    "--output-logs=errors-only",
    ...filters,
  ]);
  if (!ok) throw new Error(`${output.trimEnd()}\n\nThe build failed. The output is above and in ${log}.`);
}
