import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";

/** @type {NodeJS.Signals[]} */
const forwardedSignals = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Ctrl-C reaches us twice, from the terminal and from npm: within this time both are one. */
const sameSignalMs = 500;

/**
 * Runs a program to its end and passes on the signals that this process gets, each once. The child has a process
 * group of its own, so the terminal's Ctrl-C does not reach it a second time, past us.
 *
 * @param {string} file
 * @param {string[]} args
 * @param {import("node:child_process").SpawnOptions} options
 * @param {(pid: number) => Promise<void>} [whenStarted]
 * @returns {Promise<{ code: number | null, signal: NodeJS.Signals | null, interrupted: boolean }>} `interrupted`: a
 *   signal was passed on, so whoever called asked for the end
 * @throws when the program cannot be started
 */
export async function runProcess(file, args, options, whenStarted) {
  let lastSignal = "";
  let lastSignalAt = 0;
  let interrupted = false;
  /** @param {NodeJS.Signals} signal */
  const forward = (signal) => {
    const now = performance.now();
    const repeated = signal === lastSignal && now - lastSignalAt < sameSignalMs;
    lastSignal = signal;
    lastSignalAt = now;
    if (repeated) return;
    interrupted = true;
    child.kill(signal);
  };
  // Before the spawn: a signal in between would end us and leave the child behind.
  for (const signal of forwardedSignals) process.on(signal, forward);
  const child = spawn(file, args, { ...options, detached: true });
  try {
    const exit = once(child, "exit");
    if (child.pid !== undefined) await whenStarted?.(child.pid);
    const [code, signal] = await exit;
    return { code, signal, interrupted };
  } finally {
    for (const signal of forwardedSignals) process.off(signal, forward);
  }
}

/**
 * Ends this process the way its child ended.
 *
 * @param {{ code: number | null, signal: NodeJS.Signals | null }} end
 */
export function exitLike({ code, signal }) {
  if (signal !== null) process.kill(process.pid, signal);
  process.exitCode = code ?? 1;
}
