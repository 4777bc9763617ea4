import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Duplex } from "node:stream";

import { enterCgroup } from "./cgroup.ts";
import type { ChildFiles } from "./child-files.ts";
import type { IsolationLevel } from "./isolation-level.ts";
import { type ChildLimits, dataBytesOf } from "./limits.ts";
import { permissionArgs, quietPermission } from "./node-permission.ts";
import type { Tools } from "./tools.ts";

/** The directory of a child inside namespaces in which it finds what the worker gives it besides its bundle. */
export const givenDirectory = "/run/mcp";
/** Where a child inside namespaces finds the socket of its broker. At the other levels it is the host path itself. */
export const egressSocketInside = `${givenDirectory}/egress.sock`;

const preloadInside = "/preload.cjs";

/** Everything that the command line of a child depends on. All paths are absolute. */
export interface LaunchPlan {
  readonly level: IsolationLevel;
  readonly tools: Tools;
  readonly limits: ChildLimits;
  /** The staged Node binary, readable by the child's uid. */
  readonly node: string;
  /** The staged script that each Node process of the child runs first. */
  readonly preload: string;
  /** The staged bundle directory. */
  readonly bundle: string;
  /** Node's own flags. */
  readonly nodeArgs: readonly string[];
  /** File of the bundle that Node runs, relative to it. */
  readonly entry: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The slot uid; present exactly at the levels that have one. */
  readonly uid?: number | undefined;
  /** The staged /etc; present exactly inside namespaces. */
  readonly etc?: string | undefined;
  readonly egressSocket?: string | undefined;
  /** Where it may write, at `hardened`; inside namespaces it has a /tmp. */
  readonly temporary?: string | undefined;
  /** Read-only files besides the bundle. */
  readonly files?: ChildFiles | undefined;
  /** Directory of the cgroup that the child enters before anything else. */
  readonly cgroup?: string | undefined;
  /** The staged system call filter; used where there is bubblewrap to load it. */
  readonly filter: string | undefined;
  /** What Node's permission model lets the child read besides its bundle. */
  readonly readable: readonly string[];
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Arguments that bubblewrap reads from descriptor 8: `/proc/<pid>/cmdline` is open to every user of the host. */
  readonly hiddenArgs: readonly string[];
}

const listenerDescriptor = 3;
const hiddenArgsDescriptor = 8;
const filterDescriptor = 9;

/**
 * The command of a child at a level.
 *
 * @throws when a tool that the level needs is not on the host.
 */
function buildCommand(plan: LaunchPlan): Command {
  const command = commandBuilders[plan.level](plan);
  if (plan.cgroup === undefined) return command;
  // Before the first fork, so that nothing of the child is ever outside. What a shell exports unasked is taken away.
  const enter = [
    need(plan.tools, "sh"),
    "-c",
    enterCgroup,
    plan.cgroup,
    need(plan.tools, "env"),
    "-u",
    "SHLVL",
  ];
  return { ...command, ...asCommand([...enter, command.file, ...command.args]) };
}

const commandBuilders: Record<IsolationLevel, (plan: LaunchPlan) => Command> = {
  strict: buildNamespacedCommand,
  contained: buildNamespacedCommand,
  hardened: buildHardenedCommand,
  none: buildPlainCommand,
};

function buildNamespacedCommand(plan: LaunchPlan): Command {
  const { limits, tools } = plan;
  const bwrap = need(tools, "bwrap");
  const prlimit = need(tools, "prlimit");
  const sandbox = [
    ["--unshare-all", "--unshare-user", "--disable-userns"],
    ["--ro-bind", "/usr", "/usr"],
    ["--symlink", "usr/lib", "/lib"],
    ["--symlink", "usr/lib64", "/lib64"],
    ["--symlink", "usr/bin", "/bin"],
    plan.etc ? ["--ro-bind", plan.etc, "/etc"] : [],
    ["--proc", "/proc"],
    ["--dev", "/dev"],
    ["--size", String(limits.tmpBytes), "--tmpfs", "/tmp"],
    ["--ro-bind", plan.node, "/node"],
    ["--ro-bind", plan.preload, preloadInside],
    ["--ro-bind", plan.bundle, "/app"],
    ["--chdir", "/app"],
    plan.egressSocket ? ["--ro-bind", plan.egressSocket, egressSocketInside] : [],
    ...giveFiles(plan.files),
    // After all binds: the root and /dev are tmpfs of bubblewrap's own, writable and of no bounded size.
    ["--remount-ro", "/dev"],
    ["--remount-ro", "/"],
    ["--cap-drop", "ALL"],
    ["--clearenv"],
    ["--args", String(hiddenArgsDescriptor)],
    ["--die-with-parent", "--new-session"],
    ["--hostname", "mcp"],
    ["--seccomp", String(filterDescriptor)],
  ].flat();
  // RLIMIT_NPROC counts per user and user namespace. Set outside, it would count the worker's own processes.
  const inside = [prlimit, `--nproc=${limits.processes}`, "--"];
  // bubblewrap always sets PWD.
  const program = [
    need(tools, "env"),
    "-u",
    "PWD",
    "/node",
    ...permissionArgs({
      read: ["/app", preloadInside, givenDirectory, "/tmp", ...plan.readable],
      write: ["/tmp"],
    }),
    ...plan.nodeArgs,
    join("/app", plan.entry),
    ...plan.args,
  ];
  return {
    ...asCommand([
      ...dropPrivileges(need(tools, "setpriv"), plan.uid),
      ...limitResources(prlimit, limits),
      bwrap,
      ...sandbox,
      "--",
      ...inside,
      ...program,
    ]),
    env: {},
    hiddenArgs: Object.entries(describeEnvironment(plan, preloadInside)).flatMap(([name, value]) => [
      "--setenv",
      name,
      value,
    ]),
  };
}

function buildHardenedCommand(plan: LaunchPlan): Command {
  const { limits, tools } = plan;
  const given = plan.files ? [plan.files.directory] : [];
  const temporary = plan.temporary === undefined ? [] : [plan.temporary];
  return {
    ...asCommand([
      ...dropPrivileges(need(tools, "setpriv"), plan.uid),
      // Meaningful here because the uid is the child's alone.
      ...limitResources(need(tools, "prlimit"), limits, [`--nproc=${limits.processes}`]),
      plan.node,
      ...permissionArgs({
        read: [plan.bundle, plan.preload, ...given, ...temporary, ...plan.readable],
        write: temporary,
      }),
      ...plan.nodeArgs,
      join(plan.bundle, plan.entry),
      ...plan.args,
    ]),
    env: describeEnvironment(plan, plan.preload),
    hiddenArgs: [],
  };
}

function buildPlainCommand(plan: LaunchPlan): Command {
  const { limits, tools } = plan;
  return {
    ...asCommand([
      ...(tools.setpriv ? dropPrivileges(tools.setpriv, undefined) : []),
      ...(tools.prlimit ? limitResources(tools.prlimit, limits) : []),
      plan.node,
      ...plan.nodeArgs,
      join(plan.bundle, plan.entry),
      ...plan.args,
    ]),
    env: describeEnvironment(plan, plan.preload),
    hiddenArgs: [],
  };
}

/** NODE_OPTIONS, because it reaches the Node processes and worker threads that the child starts itself. */
function describeEnvironment({ env, temporary }: LaunchPlan, preload: string): Record<string, string> {
  const options = [quietPermission, `--require ${JSON.stringify(preload)}`, env["NODE_OPTIONS"]];
  return {
    // Its uid has no account that could name a home.
    ...(temporary !== undefined && { HOME: temporary }),
    ...env,
    ...(temporary !== undefined && { TMPDIR: temporary }),
    NODE_OPTIONS: options.filter(Boolean).join(" "),
  };
}

function giveFiles(files: ChildFiles | undefined): string[][] {
  if (!files) return [];
  return files.names.map((name) => ["--ro-bind", join(files.directory, name), join(givenDirectory, name)]);
}

function dropPrivileges(setpriv: string, uid: number | undefined): string[] {
  const common = ["--no-new-privs", "--inh-caps=-all", "--pdeathsig", "KILL"];
  if (uid === undefined) return [setpriv, ...common];
  // Before bubblewrap: as root, its own `--uid` leaves the process uid 0 on the host.
  const id = String(uid);
  return [setpriv, "--reuid", id, "--regid", id, "--clear-groups", "--bounding-set=-all", ...common];
}

function limitResources(prlimit: string, limits: ChildLimits, more: readonly string[] = []): string[] {
  const { openFiles, fileBytes } = limits;
  return [
    prlimit,
    `--nofile=${openFiles}`,
    "--core=0",
    `--data=${dataBytesOf(limits)}`,
    `--fsize=${fileBytes}`,
    ...more,
    "--",
  ];
}

function asCommand(words: readonly string[]): Pick<Command, "file" | "args"> {
  const [file, ...args] = words;
  if (file === undefined) throw new Error("empty command");
  return { file, args };
}

function need(tools: Tools, name: keyof Tools): string {
  const path = tools[name];
  if (!path) throw new Error(`${name} is not installed`);
  return path;
}

/**
 * Starts the child with the listening socket as descriptor 3, and nothing inherited besides the standard three.
 *
 * Its standard input is a pipe that the worker holds and never writes: end of file means that the worker is gone.
 *
 * @throws when the program cannot be started at all.
 */
export async function spawnChild(plan: LaunchPlan, listener: number): Promise<ChildProcess> {
  const command = buildCommand(plan);
  const usesSandbox = plan.level === "strict" || plan.level === "contained";
  if (usesSandbox && plan.filter === undefined)
    throw new Error(`there is no system call filter for ${process.arch}`);
  // Opened for each start: bubblewrap reads to the end, and duplicates of a descriptor share their position.
  // Synchronously, so that nothing comes between the child's first event and the listeners of whoever asked for it.
  const filter = usesSandbox && plan.filter !== undefined ? openSync(plan.filter, "r") : undefined;
  let child: ChildProcess;
  try {
    const extra =
      filter === undefined ? [] : (["ignore", "ignore", "ignore", "ignore", "pipe", filter] as const);
    const used =
      filter === undefined
        ? [listenerDescriptor]
        : [listenerDescriptor, hiddenArgsDescriptor, filterDescriptor];
    const { file, args } = closeStrayDescriptors(plan, command, used);
    child = spawn(file, args, {
      env: command.env,
      cwd: usesSandbox ? "/" : plan.bundle,
      shell: false,
      // A process group of its own: a terminal's Ctrl-C reaches the worker alone, which then drains.
      detached: true,
      stdio: ["pipe", "pipe", "pipe", listener, ...extra],
    });
  } finally {
    if (filter !== undefined) closeSync(filter);
  }
  preferWhenOutOfMemory(child.pid);
  // The declared type knows the first five only.
  const extraPipes: readonly unknown[] = child.stdio;
  handOver(extraPipes[hiddenArgsDescriptor], command.hiddenArgs);
  // "error" rejects this; it only comes before "spawn".
  await once(child, "spawn");
  // The child may end while nobody writes; that is not an error of the pipe's.
  child.stdin?.on("error", () => {});
  return child;
}

/** When the host itself runs out of memory, the kernel is to end a child and not the worker, the API or the database. */
function preferWhenOutOfMemory(pid: number | undefined): void {
  try {
    // Inherited by all that the child starts, and set before it starts anything.
    writeFileSync(`/proc/${pid}/oom_score_adj`, "1000");
  } catch {
    // It ended at once, which its exit tells, or the system is another than Linux.
  }
}

function handOver(pipe: unknown, args: readonly string[]): void {
  if (!(pipe instanceof Duplex)) return;
  // A child that dies before it reads is reported by its exit.
  pipe.on("error", () => {});
  pipe.end(args.map((word) => `${word}\0`).join(""), () => pipe.destroy());
}

/**
 * Node marks what it inherited close-on-exec only up to the first gap after descriptor 15 (libuv's
 * uv_disable_stdio_inheritance). Whatever a service manager or a shell left open above that would reach the child.
 */
function closeStrayDescriptors(
  plan: LaunchPlan,
  command: Command,
  used: readonly number[],
): Pick<Command, "file" | "args"> {
  const strays = strayDescriptors().filter((descriptor) => !used.includes(descriptor));
  if (strays.length === 0) return command;
  // A level that promises nothing does without the tools.
  if (plan.level === "none" && !(plan.tools.bash && plan.tools.env)) return command;
  // dash cannot name a descriptor above 9. A standard input that is a socket makes bash read its start-up files, as
  // under rshd; -p ignores BASH_ENV. What bash exports unasked is taken away again.
  if (!plan.tools.bash) {
    throw new Error(
      `bash is not installed, and the worker was started with descriptors ${strays.join(", ")} open`,
    );
  }
  const bash = [plan.tools.bash, "--norc", "-p", "-c"];
  const closing = strays.map((descriptor) => `${descriptor}>&-`).join(" ");
  const script = `exec ${closing}; unset OLDPWD PWD _; exec "$@"`;
  const clean = [need(plan.tools, "env"), "-u", "SHLVL"];
  return asCommand([...bash, script, "bash", ...clean, command.file, ...command.args]);
}

const closeOnExec = 0o2000000;

function strayDescriptors(): number[] {
  let names: string[];
  try {
    names = readdirSync("/proc/self/fd");
  } catch {
    return [];
  }
  return names.map(Number).filter((descriptor) => descriptor > 2 && isInherited(descriptor));
}

function isInherited(descriptor: number): boolean {
  try {
    const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    // Closed since it was listed, such as the one that listed it.
    return false;
  }
}
