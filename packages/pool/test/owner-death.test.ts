// The attack on the lease: the worker is killed with SIGKILL and its children go on with nobody to end them.
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";

import { describe, expect, it } from "vitest";

import { type PoolEvent, openPool } from "../src/index.ts";
import { listProcesses, treeOf } from "../src/process-usage.ts";
import { processesOfUid, startTimeOf, waitUntil } from "../src/processes.ts";
import {
  copyForUser,
  fixtureServer,
  hasNamespaces,
  isRoot,
  makeTestDirectory,
  reachableLevels,
  runInside,
} from "./support/host.ts";
import { startOwner } from "./support/owner.ts";

const ordinaryUid = 65_534;

/** A fixture server ends with its standard input. What is proven must hold for one that does not. */
async function outliveInput(socketPath: string): Promise<void> {
  await runInside(socketPath, `process.stdin.removeAllListeners("end"); return null`);
}

describe.each(reachableLevels)("at $level", ({ level, without }) => {
  it("ISO-13: no process of a child outlives its killed worker by two seconds, and the next opener clears its files", async () => {
    await using directory = await makeTestDirectory();
    const { runtimeDirectory, nodeBinary, toolPath } = await directory.options(without);
    const order = { runtimeDirectory, nodeBinary, bundleDirectory: fixtureServer };
    await using owner = await startOwner({ ...order, ...(toolPath ? { toolPath: [...toolPath] } : {}) });
    expect(owner.level).toBe(level);
    // Without namespaces nothing but that, and the next opener, ends a child.
    if (level === "strict" || level === "contained") await outliveInput(owner.socketPath);

    // By pid: another pool on this host may take the uid the moment it is free.
    const ofUid = owner.childUid === undefined ? [] : await processesOfUid(owner.childUid);
    const tree = [...new Set([owner.childPid, ...ofUid])];
    await owner.kill();
    const isGone = await waitUntil(async () => {
      const startTimes = await Promise.all(tree.map(startTimeOf));
      return startTimes.every((startTime) => startTime === undefined);
    }, 2_000);
    expect(isGone).toBe(true);

    expect(existsSync(owner.socketPath)).toBe(true);
    const events: PoolEvent[] = [];
    await using pool = await openPool({
      ...(await directory.options(without)),
      log: (event) => events.push(event),
    });
    expect(events[0]).toEqual({ kind: "swept", owners: [expect.any(String)] });
    expect(existsSync(dirname(dirname(owner.socketPath)))).toBe(false);
    expect(await readdir(join(runtimeDirectory, "o"))).toHaveLength(2);
    expect(pool.isolation.level).toBe(level);
  });

  it("a living owner's child and files are left alone by whoever opens beside it", async () => {
    await using directory = await makeTestDirectory();
    const { runtimeDirectory, nodeBinary, toolPath } = await directory.options(without);
    const order = { runtimeDirectory, nodeBinary, bundleDirectory: fixtureServer };
    await using owner = await startOwner({ ...order, ...(toolPath ? { toolPath: [...toolPath] } : {}) });
    for (let round = 0; round < 2; round++) {
      await using pool = await openPool(await directory.options(without));
      const child = await pool.start({ id: "beside", bundleDirectory: fixtureServer, entry: "server.js" });
      expect(child.uid).not.toBe(owner.childUid ?? -1);
    }
    expect(await runInside(owner.socketPath, "return 1")).toBe(1);
  });
});

describe.runIf(isRoot && hasNamespaces)("at contained", () => {
  it("ISO-13: no process of a child outlives its killed worker by two seconds", async () => {
    await using directory = await makeTestDirectory();
    const { bundle, ...rest } = await copyForUser(directory.path, ordinaryUid);
    await using owner = await startOwner({ ...rest, bundleDirectory: bundle, uid: ordinaryUid });
    expect(owner.level).toBe("contained");
    await outliveInput(owner.socketPath);
    // By pid: other tests run workers as this user too.
    const tree = treeOf(owner.childPid, listProcesses()).map(({ pid }) => pid);
    expect(tree.length).toBeGreaterThan(1);
    await owner.kill();
    expect(await waitUntil(async () => (await startTimeOf(owner.childPid)) === undefined, 2_000)).toBe(true);
    const descendants = async (): Promise<number[]> =>
      (await processesOfUid(ordinaryUid)).filter((pid) => tree.includes(pid));
    expect(await waitUntil(async () => (await descendants()).length === 0, 2_000)).toBe(true);
  });
});

describe.runIf(isRoot)("at hardened", () => {
  it("a descendant that got away from a killed worker is ended by the next opener", async () => {
    await using directory = await makeTestDirectory();
    const { runtimeDirectory, nodeBinary, toolPath = [] } = await directory.options(["bwrap"]);
    // Uids of this test's own, so that no other pool on this host is the next opener.
    const slots = { firstUid: 23_200, count: 2 };
    const order = {
      runtimeDirectory,
      nodeBinary,
      bundleDirectory: fixtureServer,
      toolPath: [...toolPath],
      slots,
    };
    await using owner = await startOwner(order);
    const stray = await runInside<number>(
      owner.socketPath,
      `const stray = spawn("/usr/bin/sleep", ["61"], { stdio: "ignore", detached: true }); stray.unref(); return stray.pid`,
    );
    await owner.kill();
    expect(await waitUntil(async () => (await startTimeOf(owner.childPid)) === undefined, 2_000)).toBe(true);
    expect(await startTimeOf(stray)).toBeDefined();

    await using pool = await openPool({ ...(await directory.options(["bwrap"])), slots });
    expect(pool.isolation.level).toBe("hardened");
    expect(await startTimeOf(stray)).toBeUndefined();
  });
});
