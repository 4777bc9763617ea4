import { readFile, readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** Pids of the direct children of a process, oldest first; empty when it is gone or the host has no /proc. */
export async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return list.split(" ").filter(Boolean).map(Number);
}

/** Pids of all processes of the host by real uid, zombies left out: they hold nothing any more. */
export async function processesByUid(): Promise<Map<number, number[]>> {
  const byUid = new Map<number, number[]>();
  const names = await readdir("/proc").catch(() => []);
  const pids = names.map(Number).filter(Number.isInteger);
  await Promise.all(
    pids.map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      const owner = /^Uid:\s+(\d+)/m.exec(status)?.[1];
      if (owner === undefined || /^State:\s+[ZX]/m.test(status)) return;
      byUid.set(Number(owner), [...(byUid.get(Number(owner)) ?? []), pid]);
    }),
  );
  return byUid;
}

export async function processesOfUid(uid: number): Promise<number[]> {
  return (await processesByUid()).get(uid) ?? [];
}

/** Identity of a process that survives pid reuse: its start time in clock ticks since boot (proc(5), stat field 22). */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** Sends a signal; a process that is already gone is what the caller wanted anyway. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/**
 * Polls until `isDone` answers true or the time is up.
 *
 * @returns whether it became true.
 */
export async function waitUntil(isDone: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await isDone()) return true;
    if (performance.now() >= deadline) return false;
    await delay(10);
  }
}
