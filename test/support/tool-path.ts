import { chmod, mkdtemp, symlink } from "node:fs/promises";
import { join } from "node:path";

import { systemToolPath } from "@minimcp/pool";

/** What a pool looks for on its host. */
const tools = ["bash", "bwrap", "env", "prlimit", "setpriv", "sh"];

/** Makes a directory of tools like the system's, but lacking some: how a host without bubblewrap looks. */
export async function makeToolPath(parent: string, without: readonly string[]): Promise<string> {
  const directory = await mkdtemp(join(parent, "tools-"));
  // Whoever the pool runs as must find them.
  await chmod(directory, 0o755);
  for (const name of tools.filter((tool) => !without.includes(tool))) {
    for (const found of systemToolPath) {
      await symlink(join(found, name), join(directory, name)).catch(() => undefined);
    }
  }
  return directory;
}
