import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { defineConfig } from "tsdown";
import type { UserConfig } from "tsdown";

const everything = dirname(
  fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/package.json")),
);

/** One file with all it imports; the same input gives the same bytes, for bundles are named by their content. */
const oneFile: UserConfig = {
  platform: "node",
  target: "node24",
  format: "esm",
  outExtensions: () => ({ js: ".js" }),
  outputOptions: { codeSplitting: false },
  dts: false,
  deps: { alwaysBundle: () => true, onlyBundle: false },
};

/** The adapter, and what it has Node load before a server that calls an upstream. */
function bundleAdapter(directory: string): UserConfig[] {
  return [
    {
      ...oneFile,
      entry: { server: "src/adapter/main.ts" },
      outDir: directory,
      hooks: { "build:done": () => writeFile(`${directory}/package.json`, '{ "type": "module" }\n') },
    },
    {
      ...oneFile,
      entry: { preload: "src/egress/preload.ts" },
      // `--require` of CommonJS starts no module loader before the server's own.
      format: "cjs",
      outExtensions: () => ({ js: ".cjs" }),
      outDir: directory,
      // The adapter lies there already.
      clean: false,
    },
  ];
}

/**
 * A bundle is a directory that the pool mounts read-only into a sandbox, where there is no `node_modules`: the
 * adapter, the server it wraps, and the files that server reads.
 *
 * @param script of somebody else's server, which becomes `server/index.js`
 */
export function bundleServer(directory: string, script: string): UserConfig[] {
  return [
    ...bundleAdapter(directory),
    { ...oneFile, entry: { index: script }, outDir: `${directory}/server` },
  ];
}

export function bundleEverything(directory: string): UserConfig[] {
  return [
    ...bundleAdapter(directory),
    {
      ...oneFile,
      entry: { stdio: `${everything}/dist/transports/stdio.js` },
      outDir: `${directory}/server-everything`,
      // The server looks for its documents in `../docs`.
      copy: { from: `${everything}/dist/docs`, to: directory },
    },
  ];
}

export default defineConfig(bundleEverything("dist/everything"));
