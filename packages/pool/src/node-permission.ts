export interface NodePermission {
  /** Files, and directories with all that is in them, that Node may read. Those that are not there yet count as files. */
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/**
 * Flags with which Node refuses what a server has no need of: every path that is not named, native addons, WASI and the
 * inspector. Node 24 hands them on to each Node process that a server starts, by NODE_OPTIONS, whatever environment it
 * gives it.
 *
 * A second wall, and no boundary: processes are allowed, because a bundle may adapt a stdio server, and a program that is
 * not Node, or a worker thread with an `execArgv` of its own, is not held by it. Nor is Node's own loader: the flags are
 * for what `fs` and its kin are asked for.
 */
export function permissionArgs({ read, write }: NodePermission): string[] {
  return [
    "--permission",
    "--allow-child-process",
    "--allow-worker",
    ...read.map((path) => `--allow-fs-read=${path}`),
    ...write.map((path) => `--allow-fs-write=${path}`),
  ];
}

/** For NODE_OPTIONS: each Node process would warn of the two allowances in its log, where owners can do nothing about them. */
export const quietPermission = "--disable-warning=PERM0002 --disable-warning=PERM0006";
