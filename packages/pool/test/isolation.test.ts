import { chmod, copyFile, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { PoolError, openPool, probeIsolation } from "../src/index.ts";
import { findTools } from "../src/tools.ts";
import {
  bestLevel,
  fixtureServer,
  hasNamespaces,
  isRoot,
  makeTestDirectory,
  reachableLevels,
} from "./support/host.ts";

describe("the level of a host", () => {
  it.each(reachableLevels)("is measured as $level without $without", async ({ level, without }) => {
    await using directory = await makeTestDirectory();
    const isolation = await probeIsolation(await directory.options(without));
    const isNamespaced = level === "strict" || level === "contained";
    expect(isolation.level).toBe(level);
    expect(isolation.parts).toEqual({
      namespaces: isNamespaced,
      seccomp: isNamespaced,
      noNewPrivileges: level !== "none",
      ownUid: level === "strict" || level === "hardened",
      limits: true,
      nodePermission: level !== "none",
      network: isNamespaced ? "none" : "host",
      cgroup: "none",
    });
  });

  it("says what would raise it", async () => {
    await using directory = await makeTestDirectory();
    const isolation = await probeIsolation(await directory.options(["bwrap"]));
    expect(isolation.advice.join("\n")).toContain("apt-get install bubblewrap");
  });

  it.runIf(bestLevel === "strict")("needs no advice at strict", async () => {
    await using directory = await makeTestDirectory();
    expect((await probeIsolation(await directory.options())).advice).toEqual([]);
  });

  it.runIf(hasNamespaces)("is not believed when bubblewrap lies about the sandbox", async () => {
    await using directory = await makeTestDirectory();
    // Runs the program, but without any namespace or filter.
    const options = await directory.options(["bwrap"]);
    const liar = join(directory.path, "liar");
    await writeFile(
      liar,
      `#!/bin/sh\nfor last; do case $last in */node-*) node=$last;; */bundle-*) app=$last;; esac; targets=$last; done\nexec env -i NODE_ENV=production MCP_ID=probe $node $app/server.js "$targets"\n`,
    );
    await chmod(liar, 0o755);
    await symlink(liar, join(options.toolPath?.[0] ?? "", "bwrap"));
    const isolation = await probeIsolation(options);
    expect(isolation.level).toBe(isRoot ? "hardened" : "none");
    expect(isolation.advice.join("\n")).toMatch(/reaches the host's loopback/);
  });

  it.runIf(hasNamespaces)(
    "ISO-18: bubblewrap that is gone after the pool opened: nothing starts, above all nothing without it",
    async () => {
      await using directory = await makeTestDirectory();
      const options = await directory.options(["bwrap"]);
      const bubblewrap = join(options.toolPath?.[0] ?? "", "bwrap");
      await copyFile(findTools().bwrap ?? "", bubblewrap);
      await chmod(bubblewrap, 0o755);
      await using pool = await openPool({ ...options, minimumLevel: bestLevel });
      await unlink(bubblewrap);
      const starting = pool.start({ id: "bare", bundleDirectory: fixtureServer, entry: "server.js" });
      await expect(starting).rejects.toMatchObject({ reason: "startFailed" });
      expect(pool.children()).toEqual([]);
    },
  );

  it("below the required minimum opens no pool and says how to raise it", async () => {
    await using directory = await makeTestDirectory();
    const opening = openPool({ ...(await directory.options(["bwrap"])), minimumLevel: "strict" });
    await expect(opening).rejects.toMatchObject({
      reason: "isolationUnavailable",
      message: expect.stringContaining("apt-get install bubblewrap"),
    });
    await expect(opening).rejects.toBeInstanceOf(PoolError);
  });
});
