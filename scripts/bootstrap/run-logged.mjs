import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

import { repositoryRoot, runEnvironment, stateDirectory } from "./paths.mjs";
import { exitLike, runProcess } from "./run-process.mjs";
import { shareLock } from "./with-lock.mjs";

/**
 * Runs a program of the set-up with its output in a log file. When somebody asked for the end meanwhile, this process
 * ends too.
 *
 * @param {string} logName name of the log in the state directory
 * @param {string} file
 * @param {string[]} args
 * @param {Record<string, string>} [environment] added to the run environment
 * @returns {Promise<{ ok: boolean, log: string, output: string }>} the log's path and content
 */
export async function runLogged(logName, file, args, environment = {}) {
  mkdirSync(stateDirectory, { recursive: true });
  const log = join(stateDirectory, `${logName}.log`);
  const fd = openSync(log, "w");
  try {
    /** @type {import("node:child_process").SpawnOptions} */
    const options = {
      cwd: repositoryRoot,
      env: { ...runEnvironment(), ...environment },
      stdio: ["ignore", fd, fd],
    };
    let group = 0;
    const end = await runProcess(file, args, options, async (pid) => {
      group = pid;
      await shareLock(pid);
    });
    if (end.interrupted) {
      // npx ends ahead of what it has started. Nothing is lost: what was interrupted is done again.
      endGroup(group);
      exitLike(end);
      process.exit();
    }
    return { ok: end.code === 0, log, output: readFileSync(log, "utf8") };
  } finally {
    closeSync(fd);
  }
}

/** @param {number} group id of its first process */
function endGroup(group) {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // All of it has ended by itself.
  }
}
