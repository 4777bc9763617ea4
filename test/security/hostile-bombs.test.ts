/**
 * The attack: an MCP server takes memory, processors, processes, descriptors, disk and the worker's attention without end,
 * will not go, or answers in a way that hurts whoever asks.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { until } from "../support/until.ts";
import { attack, type SandboxWorker, situations, startSandboxWorker } from "./support/sandbox.ts";

/** Small enough for a machine that has other things to do; the rules are those of the real numbers. */
const limits = { cpuCores: 0.1, cpuWindowMs: 2_000, logBytes: 256 * 1024 };
const memoryLimitMegabytes = 512;

async function processesNamed(marker: string): Promise<number[]> {
  const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger);
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  return pids.filter((_, index) => lines[index]?.startsWith(marker));
}

describe.each(situations)("a hostile server at $level", (situation) => {
  const { level } = situation;
  const hasNamespaces = level === "strict" || level === "contained";
  // Processes are counted by uid or by user namespace; without one of its own the count would be everybody's.
  const isCounted = level !== "none";
  const resources = new AsyncDisposableStack();
  let worker: SandboxWorker;
  /** Its children may take the processor for as long as the product lets them: memory is the limit that they are to meet. */
  let patient: SandboxWorker;
  beforeAll(async () => {
    worker = resources.use(await startSandboxWorker(situation, { limits }));
    patient = resources.use(await startSandboxWorker(situation));
  });
  afterAll(() => resources.disposeAsync());

  test.each(["heapBomb", "bufferBomb"])(
    "RES-1: a %s ends less than a tenth above its limit, with the reason `memory`",
    async (name) => {
      const bomber = await patient.start({ id: name });
      void attack(bomber, name).catch(() => {});
      const { exit, output } = await patient.ended(name);
      expect(exit).toMatchObject({ cause: "crashed", limit: "memory" });
      const reached = output.flatMap((line) => Number(/^MB (\d+)$/.exec(line)?.[1] ?? 0));
      expect(Math.max(...reached)).toBeGreaterThan(200);
      expect(Math.max(...reached)).toBeLessThan(memoryLimitMegabytes * 1.1);
    },
  );

  test("RES-1: one that swallows each refusal, or shares its memory out among processes, ends with the reason `memory`", async () => {
    const stubborn = await patient.start({ id: "stubborn" });
    void attack(stubborn, "bufferBomb", { isStubborn: true }).catch(() => {});
    expect((await patient.ended("stubborn")).exit.limit).toBe("memory");
    const tree = await patient.start({ id: "tree" });
    await attack(tree, "treeBomb", { processes: 8, megabytes: 100 });
    expect((await patient.ended("tree")).exit.limit).toBe("memory");
  });

  test("memory that processes share is counted once", async () => {
    const sharing = await patient.start({ id: "sharing" });
    await attack(sharing, "sharedMemory", { processes: 4, megabytes: 200 });
    const sees = Promise.race([
      patient.ended("sharing"),
      // Two looks of the watch at least, which come once a second, and then ten times to one so large.
      delay(2_500, "lives"),
    ]);
    expect(await sees).toBe("lives");
    patient.stop("sharing");
    expect((await patient.ended("sharing")).exit).toMatchObject({ cause: "stopped" });
  });

  test("RES-4: a busy loop in several processes is held down to its share, then ends with the reason `cpu`", async () => {
    const busy = await worker.start({ id: "busy" });
    await attack(busy, "cpuBomb", { processes: 1 });
    await worker.throttled("busy");
    const { exit, output } = await worker.ended("busy");
    expect(exit).toMatchObject({ cause: "crashed", limit: "cpu" });
    const points = output.flatMap((line) => {
      const match = /^CPU (\d+) (\d+)$/.exec(line);
      return match ? [{ usedMs: Number(match[1]), atMs: Number(match[2]) }] : [];
    });
    const last = points.at(-1);
    const before = points.findLast(({ atMs }) => atMs < (last?.atMs ?? 0) - limits.cpuWindowMs / 2);
    const cores = ((last?.usedMs ?? 0) - (before?.usedMs ?? 0)) / ((last?.atMs ?? 0) - (before?.atMs ?? 0));
    // One look's worth of both processes may come on top.
    expect(cores).toBeLessThan(limits.cpuCores * 4);
  });

  test("RES-4: processes that are over before they are counted, and that nobody waits for, count", async () => {
    const busy = await worker.start({ id: "short-lived" });
    await attack(busy, "shortLivedCpuBomb");
    await worker.throttled("short-lived");
    worker.stop("short-lived");
    expect((await worker.ended("short-lived")).exit.cause).toBe("stopped");
  });

  test.runIf(isCounted)("RES-2: a fork bomb is refused inside, and its neighbour goes on", async () => {
    const bomber = await worker.start({ id: "forks" });
    const neighbour = await worker.start({ id: "neighbour" });
    const bombing = attack<{ refused: string }>(bomber, "forkBomb");
    expect(await attack(neighbour, "descriptorBomb")).toMatchObject({ code: "EMFILE" });
    expect((await bombing).refused).toBe("EAGAIN");
  });

  test("RES-3: eight ordinary threads at a time do their work", async () => {
    const threaded = await patient.start({ id: "threaded" });
    const sums = await attack<number[]>(threaded, "threads", { count: 8 });
    expect(sums).toHaveLength(8);
    expect(new Set(sums).size).toBe(1);
    patient.stop("threaded");
    expect((await patient.ended("threaded")).exit.cause).toBe("stopped");
  });

  test("RES-3: a hundred threads are not given: whoever starts them ends, and the worker goes on", async () => {
    const bomber = await patient.start({ id: "threads" });
    await expect(attack(bomber, "threadBomb")).rejects.toThrow(/socket hang up|ECONNRESET/);
    const { exit } = await patient.ended("threads");
    expect(exit.cause).toBe("crashed");
    // Of several threads that V8 refuses at once, one may tear Node down before another has said why.
    expect([undefined, "memory"]).toContain(exit.limit);
    expect((await patient.start({ id: "after-threads" })).pid).toBeGreaterThan(0);
  });

  test("RES-5: five thousand open files are refused inside", async () => {
    const bomber = await worker.start({ id: "descriptors" });
    const { code, opened } = await attack<{ code: string; opened: number }>(bomber, "descriptorBomb");
    expect(code).toBe("EMFILE");
    expect(opened).toBeLessThan(1_024);
  });

  test("RES-6: a file without end is refused, on its own /tmp or by its size", async () => {
    const bomber = await worker.start({ id: "disk" });
    const code = await attack<string>(bomber, "fileBomb", {
      directory: hasNamespaces ? "/tmp" : worker.poolDirectory,
    });
    expect(["ENOSPC", "EFBIG", "ERR_ACCESS_DENIED"]).toContain(code);
  });

  test("a flood of output is kept in part, and what was dropped is told", async () => {
    const bomber = await worker.start({ id: "output" });
    await attack(bomber, "outputBomb", { megabytes: 20 });
    worker.stop("output");
    const { output, droppedBytes } = await worker.ended("output");
    expect(output.join("").length).toBeLessThanOrEqual(limits.logBytes);
    expect(droppedBytes).toBeGreaterThan(35_000_000);
    expect(output).toContain("the end");
  });

  test.runIf(isCounted)(
    "ISO-14: one that ignores every signal, and what it forked away from itself, is gone after the grace",
    async () => {
      const marker = `minimcp-double-fork-${process.pid}-${level}`;
      const stubborn = await worker.start({ id: "immortal", args: ["ignoreEverything"], graceMs: 200 });
      await attack(stubborn, "doubleFork", { marker });
      await until("the double fork runs", async () => (await processesNamed(marker)).length > 0, 20_000);
      worker.stop("immortal");
      expect((await worker.ended("immortal")).exit.cause).toBe("stopped");
      expect(await processesNamed(marker)).toEqual([]);
    },
  );

  test("ISO-20: a crash leaves no file that holds what was in memory, wherever a core could be written", async () => {
    const canary = randomBytes(16).toString("hex");
    const crashing = await worker.start({ id: "crashing" });
    // Without isolation that is the host's /tmp, with everybody's files.
    const own = level === "none" ? worker.home : await attack<string>(crashing, "temporaryDirectory");
    const crashes = await attack<object[]>(crashing, "crashNearby", { canary, directories: [own, "."] });
    const segmentationFault = 11;
    const pattern = await readFile("/proc/sys/kernel/core_pattern", "utf8");
    // A program of the host that takes cores in is asked by the kernel whatever the limit; what it does with one of which
    // the limit is 0 is its affair (core(5)). In a file, nothing is written.
    const isPiped = pattern.startsWith("|");
    for (const crash of crashes) {
      expect(crash).toMatchObject({
        signal: segmentationFault,
        coreLimit: expect.stringMatching(/^0 +0$/),
        found: "",
      });
      if (!isPiped) expect(crash).toMatchObject({ hasCore: 0 });
    }

    await attack(crashing, "crash", { canary });
    const { exit } = await worker.ended("crashing");
    expect(exit.cause).toBe("crashed");
    expect(exit.limit).toBeUndefined();
    const places = [
      dirname(worker.bundleDirectory),
      "/var/lib/systemd/coredump",
      "/var/crash",
      ...(pattern.startsWith("/") ? [dirname(pattern)] : []),
    ];
    const { stdout } = spawnSync("grep", ["-rlsF", canary, ...places], { encoding: "utf8" });
    expect(stdout).toBe("");
    // Where the worker itself was started, a core would have one of its usual names.
    expect((await readdir(process.cwd())).filter((name) => /^core(?:\.\d+)?$/.test(name))).toEqual([]);
  });

  test.each(["garbage", "slow"])("one whose health is a %s answer is given up in time", async (behaviour) => {
    const starting = worker.start({ id: behaviour, args: [behaviour], readyTimeoutMs: 1_000 });
    await expect(starting).rejects.toMatchObject({ reason: "startTimeout" });
  });

  test("one whose health is an answer without end is ready, and the worker reads no more of it", async () => {
    const huge = await worker.start({ id: "huge", args: ["huge"] });
    const taken = () => attack<{ megabytes: number; isLeft: boolean }>(huge, "howMuchWasTaken");
    await expect.poll(taken, { timeout: 10_000 }).toMatchObject({ isLeft: true });
    expect((await taken()).megabytes).toBeLessThan(16);
    worker.stop("huge");
    expect((await worker.ended("huge")).exit.cause).toBe("stopped");
  });
});
