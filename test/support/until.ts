import { setTimeout as delay } from "node:timers/promises";

const pollMs = 10;

/**
 * Looks again and again until it is so.
 * @param what names it, for whoever reads that it was waited for in vain
 * @returns after how many milliseconds it was
 * @throws when it is not so after `withinMs`
 */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  withinMs = 5_000,
): Promise<number> {
  const startedAt = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startedAt > withinMs) throw new Error(`Not within ${withinMs} ms: ${what}.`);
    await delay(pollMs);
  }
  return performance.now() - startedAt;
}
