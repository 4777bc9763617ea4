/** The limits at which a child is ended. At the others the kernel refuses, and it lives on. */
export type Limit = "memory" | "cpu" | "tmp";

/** What one child may use. The kernel enforces the sizes, the pool's watch what lasts or is spread over processes. */
export interface ChildLimits {
  /** Resident memory of all its processes together, in bytes. What they share is counted once. */
  memoryBytes: number;
  /** Cores that it may keep busy: 0.5 is half of one. More is fine for as long as `cpuWindowMs` lets it be. */
  cpuCores: number;
  /**
   * A child that took more than `cpuCores` on average of this many milliseconds is held down to them; one that takes
   * all of them for as long again is ended.
   */
  cpuWindowMs: number;
  /** Open descriptors of a process. */
  openFiles: number;
  /** Size of any single file it writes, in bytes. */
  fileBytes: number;
  /**
   * Size of its temporary directory in bytes. Inside namespaces the kernel refuses more in its /tmp; at `hardened` the
   * watch ends a child that has more in its own directory. At `none` it has none of its own.
   */
  tmpBytes: number;
  /** Processes and threads together; only where the child has a uid or a user namespace of its own. */
  processes: number;
  /** What is kept of its output, in bytes. */
  logBytes: number;
}

export const defaultLimits: ChildLimits = {
  memoryBytes: 512 * 1024 * 1024,
  cpuCores: 0.5,
  cpuWindowMs: 60_000,
  openFiles: 1024,
  fileBytes: 64 * 1024 * 1024,
  tmpBytes: 64 * 1024 * 1024,
  processes: 64,
  logBytes: 1024 * 1024,
};

/**
 * Private writable memory that a Node process has before a server takes any, in bytes: 512 MB of addresses for the main
 * thread's code, which V8 reserves whole and no flag of Node 24 makes smaller, and the stacks of Node's own threads. That of
 * a worker thread can be set, and the preload does.
 */
const runtimeDataBytes = (512 + 32) * 1024 * 1024;

/**
 * RLIMIT_DATA of a process, by which the kernel refuses it memory however late the watch looks: at the default, one gets
 * about 497 MB, and with the pages of its files, which do not count, comes to about 550 MB resident. RLIMIT_AS would break
 * WebAssembly and with it `fetch`.
 */
export function dataBytesOf({ memoryBytes }: Pick<ChildLimits, "memoryBytes">): number {
  return memoryBytes + runtimeDataBytes;
}
