// The attack: a server leaves its process group where it has neither a uid nor a namespace of its own.
import { accessSync, constants, existsSync } from "node:fs";
import { mkdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { openPool } from "../src/index.ts";
import { startTimeOf } from "../src/processes.ts";
import { fixtureServer, isRoot, makeTestDirectory, reachableLevels, runInside } from "./support/host.ts";

const mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find(
  (path) => existsSync(join(path, "cgroup.controllers")) && isWritable(path),
);
const server = { bundleDirectory: fixtureServer, entry: "server.js" };

/** In a container it is often mounted read-only. */
function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A part of the tree as a service manager would leave it to a worker. Its controllers are those of its parent. */
async function delegateCgroup(): Promise<AsyncDisposable & { path: string }> {
  const path = join(mount ?? "", `minimcp-test-${process.pid}`);
  await mkdir(path);
  return { path, [Symbol.asyncDispose]: () => rmdir(path) };
}

describe.runIf(isRoot && mount).each(reachableLevels)("in a cgroup of its own at $level", ({ without }) => {
  it("a child is there from its first instant, and ends with all that it started", async () => {
    await using directory = await makeTestDirectory();
    await using delegated = await delegateCgroup();
    const cgroupDirectory = delegated.path;
    await using pool = await openPool({ ...(await directory.options(without)), cgroupDirectory });
    const child = await pool.start({ ...server, id: "grouped", env: { DECLARED: "1" } });
    const group = join(delegated.path, "grouped");
    const members = async (): Promise<string[]> =>
      (await readFile(join(group, "cgroup.procs"), "utf8")).trim().split("\n");
    expect(await members()).toContain(String(child.pid));
    const names = await runInside<string[]>(child.socketPath, `return Object.keys(process.env).toSorted()`);
    expect(names.filter((name) => !["HOME", "NODE_OPTIONS", "TMPDIR"].includes(name))).toEqual([
      "DECLARED",
      "MCP_ID",
      "NODE_ENV",
    ]);

    await runInside(
      child.socketPath,
      `spawn("/usr/bin/setsid", ["--fork", "/usr/bin/sleep", "63"], { stdio: "ignore" }); return null`,
    );
    await expect.poll(async () => (await members()).length, { timeout: 5_000 }).toBeGreaterThan(1);
    const tree = (await members()).map(Number);
    await child.stop();
    expect(await Promise.all(tree.map(startTimeOf))).toEqual(tree.map(() => undefined));
    expect(existsSync(group)).toBe(false);
  });
});

it("a directory that is no cgroup is told and not needed", async () => {
  await using directory = await makeTestDirectory();
  const options = { ...(await directory.options()), cgroupDirectory: directory.path };
  await using pool = await openPool(options);
  expect(pool.isolation.parts.cgroup).toBe("none");
  expect((await pool.start({ ...server, id: "plain" })).state.kind).toBe("ready");
});
