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

  // By default V8 reserves 512 MB of addresses for the code of each thread. They count as memory that it has, so the first
  // one would end the process at its limit. This is several times what JIT compilation of one server comes to.
  const codeRangeSizeMb = 16;
  const threads = process.getBuiltinModule("node:worker_threads");
  threads.Worker = class Worker extends threads.Worker {
    constructor(...[script, options]: ConstructorParameters<typeof threads.Worker>) {
      super(script, { ...options, resourceLimits: { codeRangeSizeMb, ...options?.resourceLimits } });
    }
  };

  // For `import { Worker } from "node:worker_threads"`.
  syncBuiltinESMExports();
}

/** A CommonJS script for `--require`, by which an unmodified server runs within its limits and permissions. */
export const nodePreload = `(${prepareNode.toString()})();\n`;
