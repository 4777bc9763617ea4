import { readFileSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** One process as proc_pid_stat(5) shows it. */
export interface ProcessUsage {
  readonly pid: number;
  readonly parent: number;
  readonly isStopped: boolean;
  /** Since its start; with the pid it names a process whatever becomes of the pid. */
  readonly startTime: string;
  /** CPU that it used itself, in milliseconds. */
  readonly ownMs: number;
  /** CPU of the children that it has waited for, in milliseconds. */
  readonly reapedMs: number;
  readonly residentBytes: number;
}

/**
 * Everything that runs on the host, by pid. Synchronous on purpose: the kernel has it ready, and a promise for each of
 * several hundred files costs the worker five times what reading them does.
 */
export function listProcesses(): Map<number, ProcessUsage> {
  const found = new Map<number, ProcessUsage>();
  for (const name of readProcDirectory()) {
    const pid = Number(name);
    const usage = Number.isInteger(pid) ? readUsage(pid) : undefined;
    if (usage) found.set(pid, usage);
  }
  return found;
}

function readProcDirectory(): string[] {
  try {
    return readdirSync("/proc");
  } catch {
    return [];
  }
}

function readUsage(pid: number): ProcessUsage | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // It ended since it was listed.
    return undefined;
  }
  // The name may hold anything, spaces and parentheses too; what follows it starts with field 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  const state = fields[0];
  const { pageBytes, tickMs } = units();
  return {
    pid,
    parent: field(4),
    isStopped: state === "T" || state === "Z" || state === "X",
    startTime: fields[19] ?? "",
    ownMs: (field(14) + field(15)) * tickMs,
    reapedMs: (field(16) + field(17)) * tickMs,
    residentBytes: field(24) * pageBytes,
  };
}

/** A process and all that descend from it, as far as their parents live or hand them on to one of them. */
export function treeOf(root: number, all: ReadonlyMap<number, ProcessUsage>): ProcessUsage[] {
  const byParent = Map.groupBy(all.values(), (usage) => usage.parent);
  const tree: ProcessUsage[] = [];
  const open = [all.get(root)];
  for (let usage = open.pop(); usage; usage = open.pop()) {
    tree.push(usage);
    open.push(...(byParent.get(usage.pid) ?? []));
  }
  return tree;
}

/**
 * Memory of processes with what they share counted once (PSS). The kernel walks their page tables for this, so it is
 * asked for only when the plain sum is above the limit.
 */
export async function sharedOutBytes(tree: readonly ProcessUsage[]): Promise<number> {
  const sizes = await Promise.all(
    tree.map(async ({ pid, residentBytes }) => {
      // Unreadable when it has just ended; the next look will not find it.
      const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
      const kilobytes = /^Pss:\s+(\d+) kB/m.exec(rollup)?.[1];
      return kilobytes === undefined ? residentBytes : Number(kilobytes) * 1024;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

// getauxval(3), elf.h.
const AT_PAGESZ = 6n;
const AT_CLKTCK = 17n;

/** Empty where a process may not read its own, as after a change of its uid (prctl(2), PR_SET_DUMPABLE). */
function readAuxiliaryVector(): BigUint64Array {
  try {
    return new BigUint64Array(new Uint8Array(readFileSync("/proc/self/auxv")).buffer);
  } catch {
    return new BigUint64Array();
  }
}

let knownUnits: { pageBytes: number; tickMs: number } | undefined;

/** The units of /proc, which differ between kernels: the page (4 to 64 KiB) and the tick. */
function units(): { pageBytes: number; tickMs: number } {
  if (knownUnits) return knownUnits;
  const words = readAuxiliaryVector();
  const find = (type: bigint, fallback: number): number => {
    const index = words.findIndex((word, position) => position % 2 === 0 && word === type);
    return index === -1 ? fallback : Number(words[index + 1]);
  };
  knownUnits = { pageBytes: find(AT_PAGESZ, 4096), tickMs: 1000 / find(AT_CLKTCK, 100) };
  return knownUnits;
}
