import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { type Server, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { type Host, type HostOptions, openHost } from "./host.ts";
import type { IsolationLevel } from "./isolation-level.ts";
import { spawnChild } from "./launch.ts";
import { dataBytesOf } from "./limits.ts";
import { bindListener } from "./listener.ts";
import { PoolError } from "./pool-error.ts";
import { signalProcess } from "./processes.ts";
import { type InsideReport, type ProbeTargets, reportFromInside } from "./probe-inside.ts";
import { stageContent } from "./stage.ts";

export interface Isolation {
  readonly level: IsolationLevel;
  /** As measured from inside a real child, not as configured. */
  readonly parts: {
    readonly namespaces: boolean;
    readonly seccomp: boolean;
    readonly noNewPrivileges: boolean;
    readonly ownUid: boolean;
    readonly limits: boolean;
    readonly nodePermission: boolean;
    readonly network: "none" | "host";
    /** The controllers of cgroup v2 that hold each child, such as `memory pids cpu`; `none` where the worker has none. */
    readonly cgroup: string;
  };
  /** What would raise the level, in words for the operator; empty at `strict`. */
  readonly advice: readonly string[];
}

export interface ProbeOptions extends HostOptions {
  readonly signal?: AbortSignal;
}

const probeTimeoutMs = 10_000;

/**
 * Finds out what this host really gives: for each level, the best first, launches a child exactly as an instance would
 * be, lets it try to get out, and takes the level only when every attempt failed.
 *
 * @throws PoolError `runtimeUnusable` when not even a plain child runs.
 */
export async function probeIsolation(options: ProbeOptions): Promise<Isolation> {
  await using host = await openHost(options);
  return await probeHost(host, options.signal);
}

export async function probeHost(host: Host, signal?: AbortSignal): Promise<Isolation> {
  const advice: string[] = [];
  for (const level of candidateLevels()) {
    signal?.throwIfAborted();
    const probe = await probeLevel(host, level, signal);
    signal?.throwIfAborted();
    if (probe.failures.length === 0 && probe.parts) {
      return { level, parts: probe.parts, advice: [...new Set([...advice, ...adviseAbove(level)])] };
    }
    if (level === "none") {
      throw new PoolError(
        "runtimeUnusable",
        `a plain child does not run from ${host.runtime.stage}: ${probe.failures.join("; ")}. If the file system is mounted noexec, choose another runtime directory.`,
      );
    }
    advice.push(...adviseOn(level, probe.failures));
  }
  throw new Error("the list of levels does not end with none");
}

function candidateLevels(): IsolationLevel[] {
  if (process.platform !== "linux") return ["none"];
  return process.geteuid?.() === 0 ? ["strict", "hardened", "none"] : ["contained", "none"];
}

interface Probe {
  /** Why the level does not hold; empty when it does. */
  readonly failures: readonly string[];
  readonly parts?: Isolation["parts"];
}

async function probeLevel(
  host: Host,
  level: IsolationLevel,
  signal: AbortSignal | undefined,
): Promise<Probe> {
  const { runtime, slots, limits, tools, node, preload, filter } = host;
  await using resources = new AsyncDisposableStack();
  const isNamespaced = level === "strict" || level === "contained";
  const needsSlot = level === "strict" || level === "hardened";
  if (needsSlot && !slots) return { failures: ["setpriv is not installed"] };
  const slot = needsSlot && slots ? resources.use(await slots.acquire()) : undefined;

  const canary = join(runtime.directory, "canary");
  // Open to everyone on the host: only the sandbox can keep the child from it.
  await writeFile(canary, randomBytes(16).toString("hex"));
  await chmod(canary, 0o644);
  const loopback = resources.use(createServer((socket) => socket.destroy()));
  await once(loopback.listen(0, "127.0.0.1"), "listening");
  const targets: ProbeTargets = {
    loopbackPort: portOf(loopback),
    secretFiles: [canary, "/etc/hostname"],
  };

  let output: string;
  try {
    const listener = resources.use(await bindListener(runtime.sockets, "probe"));
    const child = await spawnChild(
      {
        level,
        tools,
        limits,
        node,
        preload,
        bundle: await stageProbe(host),
        entry: "server.js",
        nodeArgs: [],
        args: [JSON.stringify(targets)],
        env: { NODE_ENV: "production", MCP_ID: "probe" },
        uid: slot?.uid,
        etc: isNamespaced ? await host.stageEtc(slot?.uid) : undefined,
        filter,
        readable: ["/proc"],
      },
      listener.descriptor,
    );
    const { pid, stdout, stderr } = child;
    if (pid === undefined || !stdout || !stderr) throw new Error("the probe has no pid or no output");
    const limit = AbortSignal.any([AbortSignal.timeout(probeTimeoutMs), ...(signal ? [signal] : [])]);
    const kill = (): void => signalProcess(-pid, "SIGKILL");
    limit.addEventListener("abort", kill, { once: true });
    if (limit.aborted) kill();
    const [printed, complaint] = await Promise.all([text(stdout), text(stderr), once(child, "close")]);
    limit.removeEventListener("abort", kill);
    if (limit.aborted) return { failures: [`no answer within ${probeTimeoutMs} ms`] };
    if (!printed.startsWith("{"))
      return { failures: [complaint.trim().slice(0, 500) || "the probe ended without a word"] };
    output = printed;
  } catch (error) {
    return { failures: [error instanceof Error ? error.message : String(error)] };
  }
  const report: InsideReport = JSON.parse(output);
  return { failures: judge(level, report, host, slot?.uid), parts: describe(report, host, slot?.uid) };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the loopback server has no port");
  return address.port;
}

async function stageProbe(host: Host): Promise<string> {
  const directory = join(host.runtime.scratch, "probe");
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(directory, "server.js"),
    `(${reportFromInside.toString()})(JSON.parse(process.argv[2]));\n`,
  );
  return stageContent(host.runtime, "bundle", directory);
}

function describe(report: InsideReport, host: Host, slotUid: number | undefined): Isolation["parts"] {
  return {
    namespaces: !report.reachesLoopback && seesOnlyItself(report),
    seccomp: report.status["Seccomp"] === "2",
    noNewPrivileges: report.status["NoNewPrivs"] === "1",
    ownUid: slotUid !== undefined && report.uid === slotUid,
    limits: hasLimits(report, host),
    nodePermission: report.nodePermission,
    network: report.reachesLoopback ? "host" : "none",
    cgroup: host.cgroups?.controllers.join(" ") || "none",
  };
}

function judge(
  level: IsolationLevel,
  report: InsideReport,
  host: Host,
  slotUid: number | undefined,
): string[] {
  if (level === "none") return [];
  const { status } = report;
  const expectedUid = slotUid ?? process.getuid?.();
  const capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].filter(
    (name) => !/^0+$/.test(status[name] ?? ""),
  );
  const claims: [boolean, string][] = [
    [
      status["Uid"] === Array(4).fill(expectedUid).join("\t"),
      `the child runs under uid ${status["Uid"]}, not ${expectedUid}`,
    ],
    [slotUid === undefined || status["Groups"] === "", `the child keeps groups ${status["Groups"]}`],
    [status["NoNewPrivs"] === "1", "the child can gain privileges"],
    [capabilities.length === 0, `the child keeps capabilities (${capabilities.join(", ")})`],
    [report.readableFiles.length === 0, `the child reads ${report.readableFiles.join(", ")}`],
    [report.nodePermission, "Node's permission model is off"],
    [
      report.inheritedDescriptors.length === 0,
      `the child inherits ${report.inheritedDescriptors.join(", ")}`,
    ],
    [hasLimits(report, host), "the resource limits do not hold"],
    [
      report.limits["Max processes"] === String(host.limits.processes),
      "the number of processes is not bounded",
    ],
    [
      report.environment.toSorted().join() === "MCP_ID,NODE_ENV,NODE_OPTIONS",
      `the child inherits variables: ${report.environment.join(", ")}`,
    ],
  ];
  if (level === "hardened") {
    claims.push([
      report.writableDirectories.length === 0,
      `the child writes to ${report.writableDirectories.join(", ")}`,
    ]);
  } else {
    // What a program does, which Node's permission model does not hold, shows the walls behind it.
    const { byProgram } = report;
    const writable = [...report.writableDirectories, ...byProgram.writable].filter(
      (directory) => directory !== "/tmp",
    );
    claims.push(
      [byProgram.hasRun, "a program of the host does not run in the sandbox"],
      [byProgram.readable.length === 0, `the child reads ${byProgram.readable.join(", ")}`],
      [status["Seccomp"] === "2", "the system call filter is not loaded"],
      [!report.reachesLoopback, "the child reaches the host's loopback"],
      [seesOnlyItself(report), `the child sees ${report.visibleProcesses} processes`],
      [!report.opensUserNamespace, "the child opens a user namespace of its own"],
      [writable.length === 0, `the child writes to ${writable.join(", ")}`],
    );
  }
  return claims.filter(([holds]) => !holds).map(([, complaint]) => complaint);
}

/** Its init, itself, and the process with which it tries to open a namespace. */
function seesOnlyItself(report: InsideReport): boolean {
  return report.visibleProcesses >= 1 && report.visibleProcesses <= 3;
}

function hasLimits(report: InsideReport, { limits }: Host): boolean {
  return (
    report.limits["Max data size"] === String(dataBytesOf(limits)) &&
    report.limits["Max open files"] === String(limits.openFiles) &&
    report.limits["Max file size"] === String(limits.fileBytes) &&
    report.limits["Max core file size"] === "0"
  );
}

function adviseOn(level: IsolationLevel, failures: readonly string[]): string[] {
  return failures.map((failure) => {
    if (failure.includes("bwrap is not installed"))
      return "install bubblewrap 0.8 or newer (apt-get install bubblewrap)";
    if (/(setpriv|prlimit) is not installed/.test(failure))
      return "install util-linux (apt-get install util-linux)";
    if (failure.includes("disable-userns"))
      return "upgrade bubblewrap to 0.8 or newer: it lacks --disable-userns";
    if (/namespace|uid map|Operation not permitted/.test(failure)) {
      return `allow user namespaces to bubblewrap (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; in a container also its seccomp profile): ${failure}`;
    }
    return `${level} does not hold on this host: ${failure}`;
  });
}

function adviseAbove(level: IsolationLevel): string[] {
  if (process.platform !== "linux")
    return ["run on Linux: other systems have no namespaces to run children in"];
  return level === "contained" ? ["run the worker as root: each child then has a uid of its own"] : [];
}
