import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";

import { nodeBinary, repositoryRoot, stateDirectory } from "./paths.mjs";
import { runLogged } from "./run-logged.mjs";

const stampFile = join(stateDirectory, "installed.json");

/**
 * Installs what the lock file names, unless a stamp says that this was done. The stamp is written last, so an
 * interrupted installation is done again.
 *
 * @param {"product" | "everything"} needs
 * @throws with the end of the output, when it fails twice
 */
export async function installDependencies(needs) {
  const wanted = { inputs: hashInputs(), scope: needs };
  const installed = readStamp();
  // Having everything includes the product, and nothing is removed again.
  if (
    installed?.inputs === wanted.inputs &&
    (installed.scope === "everything" || installed.scope === wanted.scope) &&
    existsSync(nodeBinary)
  ) {
    return;
  }
  if (installed?.scope === "everything") wanted.scope = "everything";

  process.stderr.write("Installing what MiniMCP needs (once, about half a minute) …\n");
  const startedAt = performance.now();
  let result = await install(wanted.scope);
  if (!result.ok) {
    process.stderr.write("That failed; trying once more …\n");
    // What an interrupted first installation left behind may be what stands in the way; the downloads are kept elsewhere.
    if (installed === undefined) emptyNodeModules();
    result = await install(wanted.scope);
  }
  if (!result.ok) {
    throw new Error(
      `${result.output.trimEnd()}\n\nMiniMCP could not install its dependencies. The output is above and in ${result.log}. ` +
        "It needs the npm registry (npm config get registry) and the right to write into this folder. Then run the command again.",
    );
  }
  writeFileSync(stampFile, `${JSON.stringify(wanted)}\n`);
  process.stderr.write(`Installed in ${Math.round((performance.now() - startedAt) / 1000)} s.\n`);
}

/** What only tests and generated documents need: most of what there is to download. */
const testing = ["@minimcp/test", "@minimcp/third-party", "@minimcp/typedoc"];

/** @param {"product" | "everything"} scope */
async function install(scope) {
  const { packageManager } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8"));
  const result = await runLogged(
    "install",
    npxNextToThisNode(),
    [
      "--yes",
      packageManager,
      "install",
      "--frozen-lockfile",
      // With NODE_ENV=production in the environment pnpm would leave out Node and turbo, which are devDependencies.
      "--prod=false",
      // Where the store has moved, as with another HOME, pnpm lays everything out anew; without a terminal it would not.
      // An option, because pnpm reads this setting from no environment.
      "--config.confirm-modules-purge=false",
      ...(scope === "product" ? testing.flatMap((name) => ["--filter", `!${name}`]) : []),
    ],
    {
      // A user's ignore-scripts=true would also skip the script that fetches Node.
      npm_config_ignore_scripts: "false",
      ...(canWrite(homedir()) ? {} : homeInClone()),
    },
  );
  if (result.ok && !existsSync(nodeBinary)) {
    return {
      ...result,
      ok: false,
      output: `${result.output}\npnpm succeeded, but ${nodeBinary} is not there.`,
    };
  }
  return result;
}

/** A service's user often has no home, which is where npm and pnpm keep what they have downloaded. */
function homeInClone() {
  const home = join(stateDirectory, "home");
  return { HOME: home, npm_config_cache: join(home, ".npm") };
}

/** @param {string} directory */
function canWrite(directory) {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** npx of the very installation that runs this, or the first on PATH. */
function npxNextToThisNode() {
  const sibling = join(dirname(process.execPath), "npx");
  return existsSync(sibling) ? sibling : "npx";
}

function hashInputs() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}\n`);
  for (const name of ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"]) {
    hash.update(readFileSync(join(repositoryRoot, name)));
  }
  return hash.digest("hex");
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    // Missing or cut off by a crash: both mean that nothing is known to be installed.
    return undefined;
  }
}

function emptyNodeModules() {
  const nodeModules = dirname(stateDirectory);
  for (const name of readdirSync(nodeModules)) {
    if (name !== basename(stateDirectory)) rmSync(join(nodeModules, name), { recursive: true, force: true });
  }
}
