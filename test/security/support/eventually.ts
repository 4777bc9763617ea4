import { setTimeout as delay } from "node:timers/promises";

/**
 * Looks again and again until it is so.
 * @returns after how many milliseconds it was
 * @throws when it is not so after `withinMs`
 */
export async function eventually(withinMs: number, isSo: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    if (await isSo()) return performance.now() - startedAt;
    if (performance.now() - startedAt > withinMs) throw new Error(`It is not so after ${withinMs} ms.`);
    await delay(25);
  }
}
