import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

import type { EmbeddedPostgresOptions } from "../../src/index.ts";

const run = promisify(execFile);

/** What can be handed to another process. */
export type SupervisorOptions = Pick<
  EmbeddedPostgresOptions,
  "home" | "closedHomeRoot" | "runtimeDirectory" | "settings"
>;

export interface Supervisor extends AsyncDisposable {
  ownerUrl: string;
  dataDirectory: string;
  created: boolean;
  /** kill -9 of the supervisor alone. */
  kill(): Promise<void>;
}

export function parseOptions(text: string | undefined): SupervisorOptions {
  const options: SupervisorOptions = JSON.parse(text ?? "");
  return options;
}

export function spawnSupervisor(options: SupervisorOptions, uid?: number): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, "run-embedded.ts"), JSON.stringify(options)], {
    stdio: ["pipe", "pipe", "inherit"],
    cwd: "/",
    env: { HOME: "/nonexistent", PATH: "/usr/bin:/bin" },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
}

/** Runs the embedded server under a process of its own, as another user if wanted. */
export async function startSupervisor(options: SupervisorOptions, uid?: number): Promise<Supervisor> {
  const child = spawnSupervisor(options, uid);
  const ended = once(child, "exit");
  if (!child.stdout) throw new Error("The supervisor has no output.");
  for await (const line of createInterface({ input: child.stdout })) {
    const { ready }: { ready?: Omit<Supervisor, "kill"> } = JSON.parse(line);
    if (!ready) continue;
    return {
      ...ready,
      kill: async () => {
        child.kill("SIGKILL");
        await ended;
      },
      [Symbol.asyncDispose]: async () => {
        child.stdin?.end();
        await ended;
      },
    };
  }
  throw new Error("The supervisor ended before its server was ready.");
}

export async function readPostmasterPid(dataDirectory: string): Promise<number> {
  return Number((await readFile(join(dataDirectory, "postmaster.pid"), "utf8")).split("\n")[0]);
}

/** Whether a process runs. One that has ended but is not yet reaped by a lazy process 1 does not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    const { stdout } = await run("ps", ["-o", "stat=", "-p", String(pid)]);
    return !stdout.trim().startsWith("Z");
  } catch {
    return false;
  }
}
