/** What one child may use. The kernel enforces these; nothing here is polled. */
export interface ChildLimits {
  /**
   * Private writable memory in bytes (RLIMIT_DATA). V8's code range counts, so Node 24 dies at start below about
   * 600 MB; the default stops Buffers at about 504 MB. RLIMIT_AS would break WebAssembly and with it `fetch`.
   */
  dataBytes: number;
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
  dataBytes: 1_124_073_472,
  openFiles: 1024,
  fileBytes: 64 * 1024 * 1024,
  tmpBytes: 64 * 1024 * 1024,
  processes: 64,
  logBytes: 1024 * 1024,
};
