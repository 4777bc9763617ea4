/** The limits at which a child is ended. At the others the kernel refuses, and it lives on. */
export type Limit = "memory" | "cpu";

/** What one child may use. The kernel enforces the sizes, the pool's watch what lasts or is spread over processes. */
export interface ChildLimits {
  /** Resident memory of all its processes together, in bytes. What they share is counted once. */
  memoryBytes: number;
  /**
   * Private writable memory of a process in bytes (RLIMIT_DATA). V8's code range counts, so Node 24 dies at start below
   * about 600 MB. The default lets one have about 497 MB, and with the pages of its files, which do not count, about
   * 550 MB resident however late the watch looks. RLIMIT_AS would break WebAssembly and with it `fetch`.
   */
  dataBytes: number;
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
  /** Size of its /tmp in bytes; only where it has one of its own. */
  tmpBytes: number;
  /** Processes and threads together; only where the child has a uid or a user namespace of its own. */
  processes: number;
  /** What is kept of its output, in bytes. */
  logBytes: number;
}

export const defaultLimits: ChildLimits = {
  memoryBytes: 512 * 1024 * 1024,
  dataBytes: 1056 * 1024 * 1024,
  cpuCores: 0.5,
  cpuWindowMs: 60_000,
  openFiles: 1024,
  fileBytes: 64 * 1024 * 1024,
  tmpBytes: 64 * 1024 * 1024,
  processes: 64,
  logBytes: 1024 * 1024,
};
