import { spawn } from "node:child_process";
import { once } from "node:events";

/** As whom a program of the server runs; nothing means as ourselves. */
export interface Identity {
  uid: number;
  gid: number;
}

export interface ProgramResult {
  code: number | null;
  output: string;
}

/**
 * The whole environment of every program started here. The C locale keeps messages recognisable, and no `PG*` variable
 * or `LD_PRELOAD` of ours gets through.
 */
export const programEnvironment = { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

/**
 * Runs a program to its end and collects what it prints, on both channels.
 *
 * @throws the signal's reason on abort, and the system's error when the program cannot be started.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: {
    identity?: Identity | undefined;
    input?: string;
    /** Handed over as descriptor 3. */
    descriptor?: number;
    timeoutMs: number;
    signal?: AbortSignal | undefined;
  },
): Promise<ProgramResult> {
  const limit = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  signal.throwIfAborted();
  const child = spawn(command, args, {
    cwd: "/",
    env: programEnvironment,
    stdio: ["pipe", "pipe", "pipe", ...(options.descriptor === undefined ? [] : [options.descriptor])],
    ...options.identity,
  });
  const stop = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  try {
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    // A program that ends early leaves its input unread (EPIPE); its exit code and output say why.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? "");
    await once(child, "close");
    signal.throwIfAborted();
    return { code: child.exitCode, output };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
