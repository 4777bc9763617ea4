// The attack: another user of the host was here first, and what the worker stages or binds lands in their hands.
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdir, readFile, readdir, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { tryLock } from "../src/file-lock.ts";
import { openPool, type Pool } from "../src/index.ts";
import { openRuntimeDirectory } from "../src/runtime-directory.ts";
import { stageContent } from "../src/stage.ts";
import { fixtureServer, isRoot, makeTestDirectory } from "./support/host.ts";

describe("the runtime directory", () => {
  it("is refused when it is a link", async () => {
    await using directory = await makeTestDirectory();
    await mkdir(join(directory.path, "elsewhere"));
    await symlink(join(directory.path, "elsewhere"), join(directory.path, "rt"));
    await expect(openPool(await directory.options())).rejects.toMatchObject({ reason: "runtimeUnusable" });
    expect(await readdir(join(directory.path, "elsewhere"))).toEqual([]);
  });

  it.runIf(isRoot)("is refused when it belongs to somebody else", async () => {
    await using directory = await makeTestDirectory();
    await mkdir(join(directory.path, "rt"));
    await chown(join(directory.path, "rt"), 65_534, 65_534);
    await expect(openPool(await directory.options())).rejects.toMatchObject({ reason: "runtimeUnusable" });
  });

  it("is refused when its sockets would have too long a path", async () => {
    await using directory = await makeTestDirectory();
    const options = {
      ...(await directory.options()),
      runtimeDirectory: join(directory.path, "x".repeat(70)),
    };
    await expect(openPool(options)).rejects.toMatchObject({
      reason: "runtimeUnusable",
      message: expect.stringContaining("/run/minimcp"),
    });
  });

  it("holds the sockets of a child and its broker at the longest path that is accepted", async () => {
    await using directory = await makeTestDirectory();
    const options = await directory.options();
    let pool: Pool | undefined;
    for (let length = 70; pool === undefined; length -= 1) {
      const runtimeDirectory = join(directory.path, "x".repeat(length));
      pool = await openPool({ ...options, runtimeDirectory }).catch(() => undefined);
    }
    await using opened = pool;
    const { path } = opened.nameEgressSocket();
    await using broker = createServer().listen(path);
    await once(broker, "listening");
    await opened.start({ id: "a", bundleDirectory: fixtureServer, entry: "server.js", egressSocket: path });
    expect(path.length).toBeGreaterThan(90);
  });

  it("is passable for slot uids and readable by nobody else", async () => {
    await using directory = await makeTestDirectory();
    await using runtime = await openRuntimeDirectory(join(directory.path, "rt"));
    const modes = await Promise.all(
      [join(directory.path, "rt"), runtime.stage, runtime.directory, runtime.sockets, runtime.scratch].map(
        async (path) => ((await stat(path)).mode & 0o777).toString(8),
      ),
    );
    expect(modes).toEqual(["711", "711", "711", "700", "700"]);
  });
});

describe("staging", () => {
  it("gives every opener the same complete read-only copy", async () => {
    await using directory = await makeTestDirectory();
    const source = join(directory.path, "source");
    await mkdir(join(source, "deep"), { recursive: true });
    await writeFile(join(source, "server.js"), "1", { mode: 0o600 });
    await writeFile(join(source, "deep", "part.js"), "2");
    const root = join(directory.path, "rt");
    await using one = await openRuntimeDirectory(root);
    await using two = await openRuntimeDirectory(root);
    const paths = await Promise.all(
      [one, two, one, two].map((runtime) => stageContent(runtime, "bundle", source)),
    );
    expect(new Set(paths).size).toBe(1);
    const [staged = ""] = paths;
    expect(await readFile(join(staged, "deep", "part.js"), "utf8")).toBe("2");
    expect(((await stat(join(staged, "server.js"))).mode & 0o777).toString(8)).toBe("444");
    expect(await readdir(one.scratch)).toEqual([]);

    await writeFile(join(source, "server.js"), "changed");
    expect(await stageContent(one, "bundle", source)).not.toBe(staged);
    expect(await readFile(join(staged, "server.js"), "utf8")).toBe("1");
  });

  it.each([
    ["an absolute link", "/etc/passwd"],
    ["a link upwards", "../../etc/passwd"],
  ])("refuses %s, which would publish a file of the host", async (_, target) => {
    await using directory = await makeTestDirectory();
    const source = join(directory.path, "source");
    await mkdir(source);
    await symlink(target, join(source, "server.js"));
    await using runtime = await openRuntimeDirectory(join(directory.path, "rt"));
    await expect(stageContent(runtime, "bundle", source)).rejects.toMatchObject({ reason: "invalidSpec" });
  });

  it("forgets what nobody used for a day, but never while an owner lives", async () => {
    await using directory = await makeTestDirectory();
    const source = join(directory.path, "source");
    await writeFile(source, "content");
    const root = join(directory.path, "rt");
    let staged: string;
    {
      await using runtime = await openRuntimeDirectory(root);
      staged = await stageContent(runtime, "bundle", source);
      const longAgo = new Date(Date.now() - 2 * 24 * 60 * 60 * 1000);
      await utimes(staged, longAgo, longAgo);
      await using beside = await openRuntimeDirectory(root);
      expect(beside.stage).toBe(runtime.stage);
      expect(existsSync(staged)).toBe(true);
    }
    await using next = await openRuntimeDirectory(root);
    expect(await readdir(next.stage)).toEqual([]);
    expect(existsSync(staged)).toBe(false);
  });
});

describe("a lock", () => {
  it("is held by one at a time, in one process too, and free after its release", async () => {
    await using directory = await makeTestDirectory();
    const path = join(directory.path, "lock");
    const first = tryLock(path);
    expect(first).toBeDefined();
    expect(tryLock(path)).toBeUndefined();
    first?.[Symbol.dispose]();
    using again = tryLock(path);
    expect(again).toBeDefined();
  });

  it("cannot be taken by another user, who would keep every worker from starting", async () => {
    await using directory = await makeTestDirectory();
    const path = join(directory.path, "lock");
    using lock = tryLock(path);
    expect(lock).toBeDefined();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });
});
