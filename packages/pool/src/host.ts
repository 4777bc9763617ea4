import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type Cgroups, findDelegatedCgroup, openCgroups } from "./cgroup.ts";
import type { ChildLimits } from "./limits.ts";
import { stageEtcByUid } from "./etc.ts";
import { defaultLimits } from "./limits.ts";
import { nodePreload } from "./prepare-node.ts";
import { type RuntimeDirectory, openRuntimeDirectory } from "./runtime-directory.ts";
import { buildSeccompFilter } from "./seccomp.ts";
import { stageContent } from "./stage.ts";
import { type Tools, findTools } from "./tools.ts";
import { type UidSlotOptions, UidSlots, defaultSlots } from "./uid-slots.ts";

export interface HostOptions {
  /** Where sockets and staged content live, as an absolute path; created if need be. Executables must run from it. */
  readonly runtimeDirectory: string;
  /** The Node binary that children run; it is copied, so it may lie where only the worker can read. */
  readonly nodeBinary: string;
  /** Directories in which `bwrap`, `setpriv`, `prlimit`, `env`, `sh` and `bash` are looked up. Default: the system's. */
  readonly toolPath?: readonly string[];
  /** The uids of children, when the worker is root. Default: 20000 to 20099. */
  readonly slots?: Partial<UidSlotOptions>;
  readonly limits?: Partial<ChildLimits>;
  /**
   * A directory of the cgroup v2 tree that is the worker's, without processes of its own. Default: the one that systemd
   * gives with `Delegate=yes` and `DelegateSubgroup=minimcp-worker`. Without one the pool's own watch must do.
   */
  readonly cgroupDirectory?: string;
}

/** What launching anything on this host needs, acquired once. */
export interface Host extends AsyncDisposable {
  readonly runtime: RuntimeDirectory;
  readonly tools: Tools;
  readonly limits: ChildLimits;
  /** Path of the staged Node binary. */
  readonly node: string;
  /** Path of the staged script that each Node process of a child runs first. */
  readonly preload: string;
  /** Path of the staged system call filter; undefined on an architecture that has none. */
  readonly filter: string | undefined;
  /** Stages the /etc of a child by the uid that is its alone, where it has one. */
  readonly stageEtc: (uid: number | undefined) => Promise<string>;
  /** Undefined where the worker cannot change to another uid. */
  readonly slots: UidSlots | undefined;
  readonly cgroups: Cgroups | undefined;
}

export async function openHost(options: HostOptions): Promise<Host> {
  const tools = findTools(options.toolPath);
  await using resources = new AsyncDisposableStack();
  // First of all: it ends what dead workers left running, and nothing may move about in directories that are swept.
  const slots = await openSlots(tools, options.slots);
  const runtime = resources.use(await openRuntimeDirectory(options.runtimeDirectory));
  const node = await stageContent(runtime, "node", options.nodeBinary);
  const preload = await stageData(runtime, "preload", nodePreload);
  const filter = await stageFilter(runtime);
  const cgroupDirectory = options.cgroupDirectory ?? (await findDelegatedCgroup());
  const cgroups = cgroupDirectory && tools.sh ? await openCgroups(cgroupDirectory, tools.sh) : undefined;
  const acquired = resources.move();
  return {
    runtime,
    tools,
    limits: { ...defaultLimits, ...options.limits },
    node,
    preload,
    filter,
    stageEtc: stageEtcByUid(runtime),
    slots,
    cgroups,
    [Symbol.asyncDispose]: () => acquired.disposeAsync(),
  };
}

async function openSlots(
  tools: Tools,
  options: Partial<UidSlotOptions> | undefined,
): Promise<UidSlots | undefined> {
  const { setpriv, sh } = tools;
  if (process.platform !== "linux" || process.geteuid?.() !== 0 || !setpriv || !sh) return undefined;
  return UidSlots.open({ ...defaultSlots, ...options }, { setpriv, sh });
}

async function stageFilter(runtime: RuntimeDirectory): Promise<string | undefined> {
  if (process.arch !== "x64" && process.arch !== "arm64") return undefined;
  return stageData(runtime, "seccomp", buildSeccompFilter(process.arch));
}

async function stageData(
  runtime: RuntimeDirectory,
  name: string,
  content: string | Uint8Array,
): Promise<string> {
  const path = join(runtime.scratch, name);
  await writeFile(path, content);
  try {
    return await stageContent(runtime, name, path);
  } finally {
    await rm(path);
  }
}
