import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A self-contained directory that runs inside a sandbox, mounted read-only, without `node_modules`. */
export interface Bundle {
  /** Absolute path of the directory. */
  directory: string;
  /** The script that Node runs, relative to `directory`. */
  entry: string;
  /** Flags of Node itself. */
  nodeArgs: readonly string[];
  /** Its arguments. */
  args: readonly string[];
}

/**
 * The bundles that `turbo run build` wrote.
 *
 * @throws Error on access, when the bundle has not been built.
 */
export const bundles = {
  /** The reference server `@modelcontextprotocol/server-everything`, unmodified, behind the stdio adapter. */
  get everything(): Bundle {
    return locateBundle("everything", ["server-everything/stdio.js"]);
  },
};

/**
 * Without bounds V8 lets garbage grow by the host's memory: under load the adapter alone came to 280 MB, with these to 130
 * MB at the same speed.
 */
const adapterHeap = ["--max-old-space-size=192", "--max-semi-space-size=8"];

function locateBundle(name: string, args: readonly string[]): Bundle {
  const directory = fileURLToPath(new URL(`../dist/${name}`, import.meta.url));
  if (!existsSync(`${directory}/server.js`)) {
    throw new Error(
      `The server bundle "${name}" is not built. Run: node_modules/.bin/turbo run build --filter=@minimcp/connectors`,
    );
  }
  return { directory, entry: "server.js", nodeArgs: adapterHeap, args };
}
