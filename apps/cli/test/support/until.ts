import { setTimeout as delay } from "node:timers/promises";

const pollMs = 50;

/** Polls until the condition holds. @throws when it does not in time */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`It did not happen within ${timeoutMs} ms: ${condition.toString()}`);
    await delay(pollMs);
  }
}
