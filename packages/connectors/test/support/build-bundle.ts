/**
 * Builds the bundle of `server-everything`, or of the server whose script is named, into a directory. A process of its
 * own: the bundler leaves threads behind.
 */
import { fileURLToPath } from "node:url";

import { build } from "tsdown";

import { bundleEverything, bundleServer } from "../../tsdown.config.ts";

const [directory, script] = process.argv.slice(2);
if (directory === undefined) throw new Error("Usage: build-bundle.ts <directory> [script]");
const cwd = fileURLToPath(new URL("../..", import.meta.url));
for (const config of script === undefined ? bundleEverything(directory) : bundleServer(directory, script)) {
  await build({ ...config, config: false, cwd, logLevel: "silent" });
}
