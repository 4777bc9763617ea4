import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
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
