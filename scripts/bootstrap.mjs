// Entry of every root script (`npm start`, `npm test`, `pnpm check`, …). It runs on whatever Node (>= 20) the machine
// has, before anything is installed, so it is plain JavaScript without dependencies. It installs, builds what the
// command runs, and hands over to the Node version that the lockfile brings along.
import process from "node:process";

import { commands, userDirectory } from "./bootstrap/commands.mjs";
import { buildPackages } from "./bootstrap/build-packages.mjs";
import { installDebianPackages } from "./bootstrap/install-debian-packages.mjs";
import { installDependencies } from "./bootstrap/install-dependencies.mjs";
import { withLock } from "./bootstrap/with-lock.mjs";
import { nodeBinary, repositoryRoot, runEnvironment } from "./bootstrap/paths.mjs";
import { exitLike, runProcess } from "./bootstrap/run-process.mjs";

const oldestNodeMajor = 20;

async function main() {
  const nodeMajor = Number(process.versions.node.split(".")[0]);
  if (nodeMajor < oldestNodeMajor) {
    throw new Error(
      `MiniMCP needs Node ${oldestNodeMajor} or newer to set itself up; this is ${process.version}. Install a current Node from https://nodejs.org and run the command again.`,
    );
  }
  if (process.platform === "win32") {
    throw new Error(
      "MiniMCP runs on Linux and macOS. On Windows, clone it inside WSL 2 and run the command there.",
    );
  }

  const [name = "", ...rest] = process.argv.slice(2);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    throw new Error(`Unknown command "${name}". Known: ${Object.keys(commands).join(", ")}.`);
  }
  // npm removes the `--` between its own arguments and ours; pnpm passes it on.
  const args = rest[0] === "--" ? rest.slice(1) : rest;

  await withLock(async () => {
    await installDependencies(command.needs);
    await buildPackages(needsDashboard(name, args) ? command.build : command.build.filter(isNotDashboard));
  });
  if (command.debianPackages) await installDebianPackages();

  const environment = { ...runEnvironment(), INIT_CWD: userDirectory, ...command.environment };
  const followParent = ["--import", new URL("bootstrap/follow-parent.mjs", import.meta.url).href];
  return await runProcess(nodeBinary, [...followParent, ...command.run, ...args], {
    cwd: command.directory ?? repositoryRoot,
    env: environment,
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
}

/**
 * @param {string} name
 * @param {string[]} args
 */
function needsDashboard(name, args) {
  if (name === "minimcp" && !args.includes("start")) return false;
  return !args.includes("--no-dashboard") && process.env.DASHBOARD !== "off";
}

/** @param {string} name */
function isNotDashboard(name) {
  return name !== "@minimcp/dashboard";
}

try {
  exitLike(await main());
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
