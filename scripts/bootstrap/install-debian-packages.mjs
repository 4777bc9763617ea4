import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

import { runLogged } from "./run-logged.mjs";

/** What the tests drive besides npm packages: what tells whether it is there, and its Debian packages. */
const wanted = [
  { isThere: () => isOnPath("bwrap"), debianPackages: ["bubblewrap"] },
  { isThere: () => isOnPath("chromium"), debianPackages: ["chromium", "fonts-dejavu-core"] },
  { isThere: hasFaketime, debianPackages: ["libfaketime"] },
];

/**
 * Installs the Debian packages that tests use, where that is possible without asking; else names them. Tests that
 * need what is missing tell so themselves.
 */
export async function installDebianPackages() {
  const missing = wanted.filter(({ isThere }) => !isThere()).flatMap(({ debianPackages }) => debianPackages);
  if (missing.length === 0) return;
  const names = missing.join(" ");
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version") || !isOnPath("apt-get")) {
    process.stderr.write(`Not installed, so the tests see less: ${names} (sudo apt-get install ${names}).\n`);
    return;
  }

  process.stderr.write(`Installing Debian packages for the tests: ${names} …\n`);
  const install = () => aptGet("apt-install", ["install", "--yes", "--no-install-recommends", ...missing]);
  let result = await install();
  if (!result.ok) {
    // A fresh machine or container has no package lists, or old ones.
    await aptGet("apt-update", ["update"]);
    result = await install();
  }
  if (!result.ok)
    process.stderr.write(`Could not install ${names}; the tests go on without. See ${result.log}.\n`);
}

/**
 * @param {string} logName
 * @param {string[]} args
 */
function aptGet(logName, args) {
  const options = ["--quiet", "--option=DPkg::Lock::Timeout=60"];
  return runLogged(logName, "apt-get", [...options, ...args], { DEBIAN_FRONTEND: "noninteractive" });
}

/** A library without a program: it lies in the directory of the machine's architecture. */
function hasFaketime() {
  return (
    existsSync("/usr/lib") && readdirSync("/usr/lib").some((name) => existsSync(`/usr/lib/${name}/faketime`))
  );
}

/** @param {string} program */
function isOnPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
