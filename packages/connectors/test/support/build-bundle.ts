/** Builds the bundle into the directory named by the argument. A process of its own: the bundler leaves threads behind. */
import { fileURLToPath } from "node:url";

import { build } from "tsdown";

import { bundleEverything } from "../../tsdown.config.ts";

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("Usage: build-bundle.ts <directory>");
const cwd = fileURLToPath(new URL("../..", import.meta.url));
for (const config of bundleEverything(directory)) {
  await build({ ...config, config: false, cwd, logLevel: "silent" });
}
