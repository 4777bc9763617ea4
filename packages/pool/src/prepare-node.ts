/** Runs before the first line of a server, alone: its source text is staged as a file, so it may use nothing from outside itself. */
function prepareNode(): void {
  const fs = process.getBuiltinModule("node:fs");
  const { syncBuiltinESMExports } = process.getBuiltinModule("node:module");

  // Node's permission model makes it throw, against its own documentation: it answers false whatever is in the way. Servers
  // that look for a file of some other system, such as WSL's, would end there.
  const { existsSync } = fs;
  fs.existsSync = (path) => {
    try {
      return existsSync(path);
    } catch {
      return false;
    }
  };

  syncBuiltinESMExports();
}

/** A CommonJS script for `--require`, by which an unmodified server runs within its limits and permissions. */
export const nodePreload = `(${prepareNode.toString()})();\n`;
