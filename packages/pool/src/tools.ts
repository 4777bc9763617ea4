import { accessSync, constants, realpathSync } from "node:fs";
import { join } from "node:path";

/** The host programs that a launch may use, as absolute paths with links resolved. */
export interface Tools {
  bash?: string;
  bwrap?: string;
  env?: string;
  prlimit?: string;
  setpriv?: string;
  sh?: string;
}

/** Where system administration tools live; deliberately not the PATH that the worker happened to inherit. */
export const systemToolPath: readonly string[] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/** Looks each tool up in the given directories, in their order. */
export function findTools(toolPath: readonly string[] = systemToolPath): Tools {
  const tools: Tools = {};
  for (const name of ["bash", "bwrap", "env", "prlimit", "setpriv", "sh"] as const) {
    const found = toolPath.map((directory) => join(directory, name)).find(isExecutable);
    if (found) tools[name] = realpathSync(found);
  }
  return tools;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
