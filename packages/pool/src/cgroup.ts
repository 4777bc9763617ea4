import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";

import type { ChildLimits } from "./limits.ts";
import { waitUntil } from "./processes.ts";

/** What MiniMCP uses of cgroup v2 where a worker has a part of the tree to itself. */
export type CgroupController = "memory" | "pids" | "cpu";
const wanted: readonly CgroupController[] = ["memory", "pids", "cpu"];

/** A group that one child and everything it starts are in. Disposing it ends them and removes it. */
export interface ChildCgroup extends AsyncDisposable {
  readonly path: string;
  readonly canLimitCpu: boolean;
  /** Holds the group down to so many cores; undefined lets it go. */
  limitCpu(cores: number | undefined): Promise<void>;
  /** Whether the kernel ended something in it for want of memory. */
  hasRunOutOfMemory(): Promise<boolean>;
}

/** A directory of the cgroup v2 tree in which this worker makes the groups of its children. */
export interface Cgroups {
  readonly controllers: readonly CgroupController[];
  create(name: string, limits: ChildLimits): Promise<ChildCgroup>;
}

const mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const workerGroup = "minimcp-worker";

/**
 * The directory that a service manager has left to this worker. A group with processes of its own cannot pass
 * controllers on (cgroups(7), "no internal processes"), so the worker must sit in a subgroup of it, by this name:
 * `Delegate=yes` and `DelegateSubgroup=minimcp-worker` of systemd.exec(5). Elsewhere in the tree nothing is touched.
 */
export async function findDelegatedCgroup(): Promise<string | undefined> {
  const membership = await readFile("/proc/self/cgroup", "utf8").catch(() => "");
  const own = /^0::(\/.*)$/m.exec(membership)?.[1];
  if (own === undefined || basename(own) !== workerGroup) return undefined;
  return mounts
    .map((mount) => join(mount, dirname(own)))
    .find((path) => existsSync(join(path, "cgroup.procs")));
}

/**
 * Takes what the directory offers. Never required: whatever is wrong with it, the answer is undefined, and the other
 * limits hold alone.
 *
 * @param directory without processes of its own.
 * @param sh a shell, which moves itself into a group before it becomes the child.
 */
export async function openCgroups(directory: string, sh: string): Promise<Cgroups | undefined> {
  try {
    const offered = (await readFile(join(directory, "cgroup.controllers"), "utf8")).trim().split(/\s+/);
    const controllers = wanted.filter((name) => offered.includes(name));
    await enable(directory, controllers);
    await using trial = await createCgroup(join(directory, `trial-${process.pid}`), controllers);
    await promisify(execFile)(sh, ["-c", enterCgroup, trial.path, sh, "-c", ":"], { env: {}, cwd: "/" });
    return {
      controllers,
      create: (name, limits) => createCgroup(join(directory, name), controllers, limits),
    };
  } catch {
    return undefined;
  }
}

/** For `sh -c`: `$0` is the group, and the rest the program. */
export const enterCgroup = 'echo 0 > "$0/cgroup.procs" && unset OLDPWD PWD _ && exec "$@"';

async function enable(directory: string, controllers: readonly CgroupController[]): Promise<void> {
  if (controllers.length === 0) return;
  const words = controllers.map((name) => `+${name}`).join(" ");
  await writeFile(join(directory, "cgroup.subtree_control"), words);
}

const periodMicros = 100_000;
const emptyTimeoutMs = 2_000;

async function createCgroup(
  path: string,
  controllers: readonly CgroupController[],
  limits?: ChildLimits,
): Promise<ChildCgroup> {
  await mkdir(path);
  const write = (file: string, value: string): Promise<void> => writeFile(join(path, file), value);
  const group: ChildCgroup = {
    path,
    canLimitCpu: controllers.includes("cpu"),
    limitCpu: (cores) =>
      write("cpu.max", `${cores === undefined ? "max" : Math.round(cores * periodMicros)} ${periodMicros}`),
    hasRunOutOfMemory: async () => {
      const events = await readFile(join(path, "memory.events"), "utf8").catch(() => "");
      return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0) > 0;
    },
    [Symbol.asyncDispose]: async () => {
      await write("cgroup.kill", "1");
      const isGone = await waitUntil(
        () =>
          rmdir(path).then(
            () => true,
            () => false,
          ),
        emptyTimeoutMs,
      );
      if (!isGone) throw new Error(`the cgroup ${path} does not become empty`);
    },
  };
  try {
    if (limits && controllers.includes("memory")) {
      await write("memory.max", String(limits.memoryBytes));
      // All or nothing: a server that lost one of its processes would go on half alive.
      await write("memory.oom.group", "1");
      if (existsSync(join(path, "memory.swap.max"))) await write("memory.swap.max", "0");
    }
    // Those of setpriv, prlimit and bubblewrap come on top of the child's own.
    if (limits && controllers.includes("pids")) await write("pids.max", String(limits.processes + 4));
  } catch (error) {
    await rmdir(path);
    throw error;
  }
  return group;
}
