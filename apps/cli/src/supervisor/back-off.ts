const shortestMs = 1_000;
const longestMs = 30_000;
const steadyMs = 60_000;

/** How long to wait before something that ended is started again: 1 s, doubled up to 30 s, and afresh after a steady minute. */
export class BackOff {
  #failures = 0;

  /** @param aliveMs how long it ran this time */
  nextMs(aliveMs: number): number {
    if (aliveMs >= steadyMs) this.#failures = 0;
    const waitMs = Math.min(shortestMs * 2 ** this.#failures, longestMs);
    this.#failures += 1;
    return waitMs;
  }
}
