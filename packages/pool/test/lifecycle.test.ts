import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { type ChildSpec, type Pool, openPool } from "../src/index.ts";
import { startTimeOf, waitUntil } from "../src/processes.ts";
import { fixtureServer, isRoot, makeTestDirectory, reachableLevels, runInside } from "./support/host.ts";

const server = { bundleDirectory: fixtureServer, entry: "server.js" };

/** What a pool without children must not hold. */
async function leftovers(pool: Pool): Promise<string[]> {
  return [
    ...pool.children().map((child) => child.id),
    ...(await readdir(join(pool.directory, "s"))),
    ...(await readdir(join(pool.directory, "f"))),
    ...(await readdir(join(pool.directory, "t"))).filter((name) => name !== "probe"),
  ];
}

async function isAlive(pid: number): Promise<boolean> {
  return (await startTimeOf(pid)) !== undefined;
}

/** A bundle of one file. */
async function writeBundle(directory: string, name: string, source: string): Promise<ChildSpec> {
  const bundleDirectory = join(directory, name);
  await mkdir(bundleDirectory);
  await writeFile(join(bundleDirectory, "server.js"), source);
  return { id: name, bundleDirectory, entry: "server.js" };
}

describe.each(reachableLevels)("at $level", ({ level, without }) => {
  it("a child that is stopped ends by SIGTERM and leaves nothing", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ ...server, id: "stopped", files: { "ca.pem": "a certificate" } });
    expect(child.state.kind).toBe("ready");
    expect(pool.children()).toEqual([child]);

    const [exit, again] = await Promise.all([child.stop(), child.stop()]);
    expect(exit.cause).toBe("stopped");
    expect(again).toBe(exit);
    expect(child.state).toMatchObject({ kind: "dead", exit });
    expect(await isAlive(child.pid)).toBe(false);
    expect(await leftovers(pool)).toEqual([]);
  });

  it("a child that ignores SIGTERM and detached its descendants is gone after the grace", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ ...server, id: "stubborn", args: ["--ignore-sigterm"], graceMs: 200 });
    // setsid and a second fork: out of the process group, and an orphan of whatever reaps here.
    const marker = `61.${child.pid}`;
    await runInside(
      child.socketPath,
      `spawn("/usr/bin/sh", ["-c", "setsid sh -c 'sleep ${marker} & sleep ${marker}' >/dev/null 2>&1 &"], { stdio: "ignore" }); return null`,
    );
    const count = async (): Promise<number> => (await commandsWith(marker)).length;
    expect(await waitUntil(async () => (await count()) > 0, 5_000)).toBe(true);

    const startedAt = performance.now();
    const exit = await child.stop();
    expect(exit.cause).toBe("stopped");
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(200);
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    expect(child.logs.lines().map((line) => line.text)).toContain("SIGTERM ignored");
    expect(await isAlive(child.pid)).toBe(false);
    // Without a uid or a namespace of its own nothing but goodwill holds a process that left its group.
    const survivors = await commandsWith(marker);
    if (level === "none") for (const pid of survivors) process.kill(pid, "SIGKILL");
    expect(level === "none" ? [] : survivors).toEqual([]);
  });

  it("a crash is told apart from a stop, takes what it had started along, and the socket stops answering", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ ...server, id: "crash" });
    const marker = `62.${child.pid}`;
    await runInside(
      child.socketPath,
      `spawn("/usr/bin/sleep", ["${marker}"], { stdio: "ignore" }); return null`,
    );
    expect(await waitUntil(async () => (await commandsWith(marker)).length > 0, 5_000)).toBe(true);
    await runInside(child.socketPath, `setImmediate(() => process.exit(9)); return null`);
    expect(await child.exited).toEqual({ code: 9, signal: null, cause: "crashed" });
    expect(await waitUntil(async () => (await commandsWith(marker)).length === 0, 1_000)).toBe(true);
    await expect(runInside(child.socketPath, "return 1")).rejects.toMatchObject({ code: "ENOENT" });
    expect(await leftovers(pool)).toEqual([]);
  });

  it("a start that fails tells the child's last words and leaves nothing", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const broken = await writeBundle(
      directory.path,
      "broken",
      `process.stderr.write("no such upstream\\n"); process.exit(3);`,
    );
    await expect(pool.start(broken)).rejects.toMatchObject({
      reason: "startFailed",
      message: expect.stringContaining("no such upstream"),
    });
    expect(await leftovers(pool)).toEqual([]);
  });

  it("a child that never answers is given up in time and leaves nothing", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const mute = await writeBundle(
      directory.path,
      "mute",
      `process.stdin.on("end", () => process.exit()).resume();`,
    );
    await expect(pool.start({ ...mute, readyTimeoutMs: 400 })).rejects.toMatchObject({
      reason: "startTimeout",
    });
    expect(await leftovers(pool)).toEqual([]);
  });

  it("a child that answers its health check with a switch of protocols is given up in time and leaves nothing", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const switching = await writeBundle(
      directory.path,
      "switching",
      `process.stdin.on("end", () => process.exit()).resume();
       const answer = "HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: other\\r\\n\\r\\n";
       require("node:net").createServer((socket) => {
         socket.on("error", () => {}).once("data", () => socket.write(answer));
       }).listen({ fd: 3 });`,
    );
    await expect(pool.start({ ...switching, readyTimeoutMs: 400 })).rejects.toMatchObject({
      reason: "startTimeout",
    });
    expect(await leftovers(pool)).toEqual([]);
  });

  it("a start that is aborted rejects with the reason and leaves nothing", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const mute = await writeBundle(
      directory.path,
      "slow",
      `process.stdin.on("end", () => process.exit()).resume();`,
    );
    const abort = new AbortController();
    const starting = pool.start(mute, abort.signal);
    await waitUntil(async () => pool.children().length === 1, 5_000);
    const [child] = pool.children();
    const reason = new Error("nobody wants it any more");
    abort.abort(reason);
    await expect(starting).rejects.toBe(reason);
    expect(await isAlive(child?.pid ?? process.pid)).toBe(false);
    expect(await leftovers(pool)).toEqual([]);
  });

  it("disposing the pool ends running and queued starts", async () => {
    await using directory = await makeTestDirectory();
    const pool = await openPool({ ...(await directory.options(without)), concurrency: 1 });
    const child = await pool.start({ ...server, id: "running" });
    const mute = await writeBundle(
      directory.path,
      "mute",
      `process.stdin.on("end", () => process.exit()).resume();`,
    );
    const starts = Promise.allSettled([pool.start(mute), pool.start({ ...server, id: "queued" })]);
    await waitUntil(async () => pool.children().length === 2, 5_000);
    await pool[Symbol.asyncDispose]();
    const outcomes = await starts;
    expect(outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason.reason)).toEqual([
      "closed",
      "closed",
    ]);
    expect(child.state.kind).toBe("dead");
    expect(await readdir(join(directory.path, "rt", "o"))).toEqual([]);
    await expect(pool.start({ ...server, id: "late" })).rejects.toMatchObject({ reason: "closed" });
  });
});

async function commandsWith(marker: string): Promise<number[]> {
  const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    names.map(async (name) =>
      (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).includes(`sleep\0${marker}`)
        ? [Number(name)]
        : [],
    ),
  );
  return found.flat();
}

describe.runIf(isRoot)("uids", () => {
  it("ISO-1: are distinct among concurrent children, of two pools too, and free again afterwards", async () => {
    await using directory = await makeTestDirectory();
    const slots = { firstUid: 23_100, count: 3 };
    await using first = await openPool({ ...(await directory.options()), slots });
    await using second = await openPool({ ...(await directory.options()), slots });
    const children = await Promise.all([
      first.start({ ...server, id: "a" }),
      first.start({ ...server, id: "b" }),
      second.start({ ...server, id: "c" }),
    ]);
    expect(new Set(children.map((child) => child.uid)).size).toBe(3);

    await expect(second.start({ ...server, id: "d" })).rejects.toMatchObject({ reason: "noCapacity" });
    await children[0]?.stop();
    const replacement = await second.start({ ...server, id: "d" });
    expect(replacement.uid).toBe(children[0]?.uid);
  });
});

describe("a description that cannot be run", () => {
  it.each([
    ["an id with a slash", { ...server, id: "../a" }],
    ["an entry outside the bundle", { ...server, id: "a", entry: "../server.js" }],
    ["a bundle that is not there", { id: "a", bundleDirectory: "/nonexistent/bundle", entry: "server.js" }],
    ["a variable that the loader obeys", { ...server, id: "a", env: { LD_PRELOAD: "/tmp/evil.so" } }],
    ["a file with a path for a name", { ...server, id: "a", files: { "../a": "" } }],
    ["a file in the place of the broker's socket", { ...server, id: "a", files: { "egress.sock": "" } }],
    ["a name that is no variable", { ...server, id: "a", env: { "A=B": "" } }],
  ])("is refused: %s", async (_, spec) => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(["bwrap", "setpriv"]));
    await expect(pool.start(spec)).rejects.toMatchObject({ reason: "invalidSpec" });
    expect(await leftovers(pool)).toEqual([]);
  });

  it("is refused: the id of a running child, until that has ended", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(["bwrap", "setpriv"]));
    const child = await pool.start({ ...server, id: "same" });
    await expect(pool.start({ ...server, id: "same" })).rejects.toMatchObject({ reason: "invalidSpec" });
    await child.stop();
    await expect(pool.start({ ...server, id: "same" })).resolves.toBeDefined();
  });
});
