import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

let clone: string;
let running: ChildProcess[];

// Bootstrap keeps its state in the clone that it belongs to; here it belongs to a folder with nothing else.
beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), "minimcp bootstrap-"));
  await cp(join(root, "scripts/bootstrap"), join(clone, "scripts/bootstrap"), { recursive: true });
  running = [];
});

afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(clone, { recursive: true, force: true });
});

/** Runs `code` as a module that has what bootstrap's modules export. */
function run(code: string): { child: ChildProcess; exit: Promise<unknown[]> } {
  const url = (name: string): string => pathToFileURL(join(clone, "scripts/bootstrap", name)).href;
  const module = `
    import { exitLike, runProcess } from "${url("run-process.mjs")}";
    import { shareLock, withLock } from "${url("with-lock.mjs")}";
    import { appendFileSync as append } from "node:fs";
    import { setTimeout as wait } from "node:timers/promises";
    const followParent = ["--import", "${url("follow-parent.mjs")}"];
    const log = ${JSON.stringify(join(clone, "log"))};
    ${code}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", module], {
    stdio: ["ignore", "inherit", "ignore"],
  });
  running.push(child);
  return { child, exit: once(child, "exit") };
}

const readLog = (): Promise<string> => readFile(join(clone, "log"), "utf8").catch(() => "");

const expectLogged = async (line: string): Promise<void> =>
  await expect.poll(readLog, { timeout: 10_000 }).toContain(line);

/** Runs a program the way bootstrap runs the product. It logs its signals, and ends with 3 at SIGTERM. */
const runProgram = `
  const program = \`
    const { appendFileSync } = require("node:fs");
    const say = (line) => appendFileSync(\${JSON.stringify(log)}, line + "\\\\n");
    setInterval(() => {}, 1000);
    process.on("SIGINT", () => say("SIGINT"));
    process.on("SIGTERM", () => { say("SIGTERM"); process.exit(3); });
    say("ready " + process.pid);
  \`;
  exitLike(await runProcess(process.execPath, [...followParent, "--eval", program], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  }));`;

describe("a program that bootstrap runs", () => {
  test("gets a signal once that the terminal and npm both deliver, and its exit code is passed on", async () => {
    const { child, exit } = run(runProgram);
    await expectLogged("ready");
    child.kill("SIGINT");
    child.kill("SIGINT");
    await expectLogged("SIGINT");
    child.kill("SIGTERM");

    expect(await exit).toEqual([3, null]);
    expect((await readLog()).match(/SIG\w+/g)).toEqual(["SIGINT", "SIGTERM"]);
  });

  test("that ends by a signal ends the command by that signal", async () => {
    const { exit } = run(runProgram);
    await expectLogged("ready");
    process.kill(Number(/ready (\d+)/.exec(await readLog())?.[1]), "SIGKILL");

    expect(await exit).toEqual([null, "SIGKILL"]);
  });

  test("is asked to end when bootstrap is killed", async () => {
    const { child } = run(runProgram);
    await expectLogged("ready");
    child.kill("SIGKILL");

    await expectLogged("SIGTERM");
  });
});

describe("the lock of an installation", () => {
  const install = `
    await withLock(async () => {
      append(log, "begin\\n");
      await wait(300);
      append(log, "end\\n");
    });`;

  test("lets one command after the other install", async () => {
    const commands = [run(install), run(install), run(install)];
    await Promise.all(commands.map(({ exit }) => exit));

    expect(await readLog()).toBe("begin\nend\n".repeat(3));
  });

  test("is taken over from a command that was killed", async () => {
    const killed = run(`await withLock(async () => { append(log, "held\\n"); await wait(60_000); });`);
    await expectLogged("held");
    killed.child.kill("SIGKILL");
    await killed.exit;

    await run(install).exit;
    expect(await readLog()).toBe("held\nbegin\nend\n");
  });

  test("is not taken over while an installer goes on whose command was killed", async () => {
    const killed = run(`
      await withLock(() => runProcess(process.execPath, ["--eval", \`
        const { appendFileSync } = require("node:fs");
        appendFileSync(\${JSON.stringify(log)}, "installing\\\\n");
        setTimeout(() => appendFileSync(\${JSON.stringify(log)}, "installed\\\\n"), 1000);
      \`], { stdio: "ignore" }, async (pid) => { await shareLock(pid); append(log, "shared\\n"); }));`);
    await expectLogged("shared");
    await expectLogged("installing");
    killed.child.kill("SIGKILL");
    await killed.exit;

    await run(install).exit;
    expect((await readLog()).replace("shared\n", "")).toBe("installing\ninstalled\nbegin\nend\n");
  });
});

// Its one dependency, a Node that is never run, lies in the clone: nothing is downloaded but pnpm, if that.
const lockfile = `lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      node:
        specifier: file:beside
        version: file:beside
packages:
  node@file:beside:
    resolution: {directory: beside, type: directory}
snapshots:
  node@file:beside: {}
`;

describe("an installation", () => {
  beforeEach(async () => {
    const { packageManager } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const manifest = { private: true, packageManager, dependencies: { node: "file:beside" } };
    await writeFile(join(clone, "package.json"), JSON.stringify(manifest));
    await writeFile(join(clone, "pnpm-lock.yaml"), lockfile);
    await mkdir(join(clone, "beside/bin"), { recursive: true });
    await writeFile(join(clone, "beside/package.json"), JSON.stringify({ name: "node", version: "0.0.0" }));
    await writeFile(join(clone, "beside/bin/node"), "");
  });

  test("is laid out anew, and nobody is asked, when the store of packages is elsewhere than before", async () => {
    await installChange("home", "first");
    await installChange("another home", "second");
    expect(await readLog()).toBe("first\nsecond\n");
  }, 60_000);
});

/**
 * Installs what has changed.
 *
 * @param dataHome where pnpm keeps its store
 * @param change goes to the log when it has succeeded
 */
async function installChange(dataHome: string, change: string): Promise<void> {
  await writeFile(join(clone, "pnpm-workspace.yaml"), `packages: []\n# ${change}\n`);
  const module = pathToFileURL(join(clone, "scripts/bootstrap/install-dependencies.mjs"));
  await run(`
    import { installDependencies } from "${module.href}";
    process.env.XDG_DATA_HOME = ${JSON.stringify(join(clone, dataHome))};
    await installDependencies("product").then(() => append(log, "${change}\\n"), (error) => append(log, error.message));
  `).exit;
}
