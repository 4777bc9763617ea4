// The attack: a hostile or broken server takes memory, processes, disk and the worker's attention without end.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { describe, expect, it } from "vitest";

import { openPool } from "../src/index.ts";
import { BoundedLogRing } from "../src/log-ring.ts";
import { waitUntil } from "../src/processes.ts";
import { fixtureServer, makeTestDirectory, reachableLevels, runInside } from "./support/host.ts";

const server = { bundleDirectory: fixtureServer, entry: "server.js" };
const hasTools = reachableLevels.filter(({ level }) => level !== "none");

describe.each(hasTools)("at $level", ({ without }) => {
  it("Buffers end below 512 MB", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ ...server, id: "buffers" });
    const reached = await runInside<number>(
      child.socketPath,
      `const kept = []; try { for (;;) kept.push(Buffer.allocUnsafeSlow(8 << 20)); } catch { return kept.length * 8 }`,
    );
    expect(reached).toBeGreaterThan(300);
    expect(reached).toBeLessThan(512);
  });

  it("processes and threads end at the limit, and the child lives on", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ ...server, id: "forks" });
    const started = await runInside<number>(
      child.socketPath,
      `let alive = 0;
       const children = [];
       for (let i = 0; i < 80; i++) {
         const child = spawn("/usr/bin/sleep", ["60"], { stdio: "ignore" });
         child.on("error", () => {});
         if (child.pid) { alive++; children.push(child); }
       }
       for (const child of children) child.kill("SIGKILL");
       return alive`,
    );
    expect(started).toBeGreaterThan(20);
    expect(started).toBeLessThan(64);
    expect(await runInside(child.socketPath, "return 1")).toBe(1);
  });

  it("RES-5, ISO-20: descriptors end at 1,024, and no core is dumped", async () => {
    await using directory = await makeTestDirectory();
    await using pool = await openPool(await directory.options(without));
    const child = await pool.start({ ...server, id: "files" });
    const limits = await runInside<string>(
      child.socketPath,
      `return spawnSync("/usr/bin/cat", ["/proc/self/limits"], { encoding: "utf8" }).stdout`,
    );
    expect(limits).toMatch(/^Max open files\s+1024\s+1024/m);
    expect(limits).toMatch(/^Max core file size\s+0\s+0/m);
    expect(limits).toMatch(/^Max processes\s+64\s+64/m);
    expect(limits).toMatch(/^Max file size\s+67108864\s+67108864/m);
  });
});

it("a flood of output neither blocks the child nor grows the worker", async () => {
  await using directory = await makeTestDirectory();
  const options = await directory.options();
  await using pool = await openPool({ ...options, limits: { logBytes: 100_000 } });
  const bundleDirectory = join(directory.path, "flood");
  await mkdir(bundleDirectory);
  // Twenty megabytes, a part of it without any newline, before it answers the first question.
  await writeFile(
    join(bundleDirectory, "server.js"),
    `const fs = require("node:fs");
     process.stdin.on("end", () => process.exit()).resume();
     for (let i = 0; i < 10_000; i++) fs.writeSync(1, "line " + i + " " + "x".repeat(1000) + "\\n");
     for (let i = 0; i < 160; i++) fs.writeSync(2, "y".repeat(64 << 10));
     fs.writeSync(1, "the end\\n");
     require("node:http").createServer((_, response) => response.end()).listen({ fd: 3 });`,
  );
  const child = await pool.start({ id: "flood", bundleDirectory, entry: "server.js" });
  expect(await waitUntil(async () => child.logs.lines().some((line) => line.text === "the end"), 5_000)).toBe(
    true,
  );
  const kept = child.logs.lines();
  const keptBytes = kept.reduce((sum, line) => sum + Buffer.byteLength(line.text), 0);
  expect(keptBytes).toBeLessThanOrEqual(100_000);
  expect(Math.max(...kept.map((line) => line.text.length))).toBeLessThanOrEqual(8 * 1024);
  expect(child.logs.droppedBytes).toBeGreaterThan(15_000_000);
});

it("a flood of empty lines is cut off before it costs the worker, and its end is kept", () => {
  let cut = 0;
  const ring = new BoundedLogRing(100_000, () => cut++);
  const source = new PassThrough();
  ring.drain(source, "stdout");
  const chunk = Buffer.alloc(64 << 10, "\n");
  for (let i = 0; i < 64; i++) source.emit("data", chunk);
  source.emit("data", Buffer.from("the end\n"));
  expect(cut).toBeLessThan(64 * 3_000);
  expect(ring.lines().at(-1)?.text).toBe("the end");
  expect(ring.droppedBytes).toBeGreaterThan(3_500_000);
});

it("lines are numbered by the bytes written until then, so that what was dropped shows as a gap", () => {
  const ring = new BoundedLogRing(200, () => 0);
  const source = new PassThrough();
  ring.drain(source, "stderr");
  source.emit("data", Buffer.from("one\ntwo\nhal"));
  expect(ring.lines().map(({ position, bytes }) => [position, bytes])).toEqual([
    [4, 4],
    [8, 4],
  ]);
  source.emit("data", Buffer.from("f\n"));
  expect(ring.lines(8).map(({ text, position, bytes }) => [text, position, bytes])).toEqual([
    ["half", 13, 5],
  ]);
  source.emit("data", Buffer.alloc(64 << 10, "x\n"));
  source.emit("data", Buffer.alloc(64 << 10, "x\n"));
  expect(ring.position).toBe(13 + (128 << 10));
  expect(ring.lines(13)[0]?.position).toBeGreaterThan(15);
  expect(ring.lines().at(-1)?.position).toBe(ring.position);
});
