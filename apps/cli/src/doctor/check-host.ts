import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

import { portNames } from "../env.ts";
import { describeError } from "../failure.ts";
import { checkPorts } from "../supervisor/check-ports.ts";
import { type Check, fail, pass, skip } from "./check.ts";

/** engines.node of the workspace. */
const oldestNode = [24, 11] as const;

export const checkNode: Check = {
  id: "node.version",
  look() {
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    const isNewEnough = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
    return isNewEnough
      ? pass(process.version)
      : fail(process.version, `use Node ${oldestNode.join(".")} or newer; \`npm start\` brings its own`);
  },
};

export const checkConfiguration: Check = {
  id: "config.valid",
  look({ config }) {
    if ("problems" in config) return fail(config.problems.join("; "), "correct these settings");
    return pass(`${config.settings.MINIMCP_MODE} mode`);
  },
};

export const checkHome: Check = {
  id: "home.modes",
  async look({ home }) {
    const wanted = [
      [home.path, 0o711],
      [home.secrets, 0o700],
    ] as const;
    const wrong: string[] = [];
    for (const [path, mode] of wanted) {
      const found = await lstat(path).catch(() => undefined);
      if (found === undefined) return skip(`${path} does not exist yet`);
      if ((found.mode & 0o7777) !== mode)
        wrong.push(`${path} has mode ${octal(found.mode)}, not ${octal(mode)}`);
    }
    return wrong.length === 0
      ? pass(`${home.path} and its secrets are closed to others`)
      : fail(wrong.join("; "), "`npm start` corrects them; or use chmod");
  },
};

export const checkSecrets: Check = {
  id: "secrets.modes",
  async look({ home }) {
    const names = await readdir(home.secrets).catch(() => undefined);
    if (names === undefined) return skip(`${home.secrets} does not exist yet`);
    const open: string[] = [];
    for (const name of names) {
      const found = await lstat(join(home.secrets, name));
      if ((found.mode & 0o077) !== 0 || found.uid !== process.getuid?.()) open.push(name);
    }
    return open.length === 0
      ? pass(`${names.length} files, each its owner's alone`)
      : fail(`others can read, or own: ${open.join(", ")}`, `run: chmod 600 on them, in ${home.secrets}`);
  },
};

export const checkFreePorts: Check = {
  id: "ports.free",
  async look({ config, running }) {
    if ("problems" in config) return skip("the configuration cannot be used");
    const { settings } = config;
    const names = portNames(settings);
    if (running !== undefined) return pass("this home's product has them");
    try {
      await checkPorts(config.settings, { patienceMs: 0, signal: AbortSignal.timeout(5_000) });
      return pass(`${names.map((name) => settings[name] || "any").join(", ")} can be had`);
    } catch (error) {
      return fail(describeError(error), `end the other program, or set ${names.join(", ")}`);
    }
  },
};

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
