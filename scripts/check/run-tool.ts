import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

import { repositoryRoot, runEnvironment } from "../bootstrap/paths.mjs";

export interface Verdict {
  ok: boolean;
  /** What a person needs to see when it is not ok. */
  output: string;
}

/**
 * Runs a command-line tool without a terminal and takes its exit code as the verdict.
 *
 * @param options.signal ends the tool
 * @param options.cwd the repository's root unless given
 * @throws when the tool cannot be started or was ended through the signal
 */
export async function runTool(
  file: string,
  args: readonly string[],
  { signal, cwd = repositoryRoot }: { signal: AbortSignal; cwd?: string },
): Promise<Verdict> {
  const child = spawn(file, args, {
    cwd,
    signal,
    // With CI in its environment oxlint colours its output, whatever else it is told.
    env: { ...runEnvironment(), NO_COLOR: "1", CI: undefined },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exitCode = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [code, stdout, stderr] = await Promise.all([exitCode, text(child.stdout), text(child.stderr)]);
  return { ok: code === 0, output: stdout + stderr };
}
