import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import type { IsolationLevel } from "../../src/index.ts";
import type { OwnerRequest } from "../fixtures/owner.ts";

export interface Owner extends AsyncDisposable {
  readonly level: IsolationLevel;
  readonly childPid: number;
  readonly childUid: number | undefined;
  readonly socketPath: string;
  /** SIGKILL, so that nothing of its own can clean up. */
  kill(): Promise<void>;
}

const script = fileURLToPath(new URL("../fixtures/owner.ts", import.meta.url));

/** Starts a process that owns a pool with one child. */
export async function startOwner(order: OwnerRequest): Promise<Owner> {
  const worker = spawn(process.execPath, [script, JSON.stringify(order)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(worker, "exit");
  const complaint = text(worker.stderr);
  const kill = async (): Promise<void> => {
    worker.kill("SIGKILL");
    await exited;
  };
  for await (const line of createInterface({ input: worker.stdout })) {
    const { level, pid, uid, socketPath } = JSON.parse(line);
    return { level, childPid: pid, childUid: uid, socketPath, kill, [Symbol.asyncDispose]: kill };
  }
  throw new Error(`the owner ended: ${await complaint}`);
}
